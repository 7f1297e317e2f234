// Groups in the protocol of KIP-848, and transactions that consume in a group, through franz-go.
package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options that make a client's group one of each kind.
var protocols = []struct {
	name    string
	options []kgo.Opt
}{
	{"classic", nil},
	{"consumer", []kgo.Opt{kgo.ServerSideBalancer()}},
}

func groups() {
	for _, protocol := range protocols {
		groupRebalance(protocol.name, protocol.options...)
		transformExactlyOnce(protocol.name, protocol.options...)
	}
	expression()
}

func expectProtocol(group, protocol string) {
	ctx, cancel := within(10)
	defer cancel()
	listed, err := admin.ListGroupsByType(ctx, []string{protocol})
	must("the groups of a protocol", err)
	if _, there := listed[group]; !there {
		fail("%s is not among the groups of the protocol %s", group, protocol)
	}
}

// A subscription that the server holds against its topics.
func expression() {
	prefix := topicOf("expression")
	create(prefix+"-1", 1, nil)
	reader := newClient(
		kgo.ConsumerGroup(topicOf("expressions")), kgo.ServerSideBalancer(), kgo.ConsumeRegex(),
		kgo.ConsumeTopics("^"+prefix+"-[0-9]$"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(time.Second),
		kgo.MetadataMaxAge(2*time.Second),
	)
	defer reader.Close()
	for _, topic := range []string{prefix + "-1", prefix + "-2"} {
		if topic != prefix+"-1" {
			create(topic, 1, nil)
		}
		sent := makeRecords(topic, 10)
		produce(topic, sent)
		checkLog(topic, read(reader, len(sent)), sent)
	}
	ok("a subscription by expression, consumer protocol")
}

// A worker of a group that writes what it makes of its records, and where it was, together.
type transformer struct {
	session *kgo.GroupTransactSession
	rounds  int
	aborted int
}

func newTransformer(id string, options ...kgo.Opt) *transformer {
	session, err := kgo.NewGroupTransactSession(append(options,
		kgo.SeedBrokers(bootstrap), kgo.TransactionalID(id), kgo.RequireStableFetchOffsets(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)...)
	must("a session of transactions", err)
	return &transformer{session: session}
}

// Make something of a few records; every fourth time it is thrown away, and done again.
func (t *transformer) round(output string) {
	ctx, cancel := within(30)
	defer cancel()
	brief, stop := within(1)
	defer stop()
	fetches := t.session.PollRecords(brief, 20)
	if fetches.NumRecords() == 0 {
		return
	}
	must("the begin of a transaction", t.session.Begin())
	var made []*kgo.Record
	fetches.EachRecord(func(record *kgo.Record) {
		made = append(made, &kgo.Record{
			Topic: output, Key: record.Key, Value: append([]byte("made of "), record.Value...),
		})
	})
	must("delivery", t.session.ProduceSync(ctx, made...).FirstErr())
	t.rounds++
	try := kgo.TryCommit
	if t.rounds%4 == 0 {
		try = kgo.TryAbort
	}
	committed, err := t.session.End(ctx, try)
	must("the end of a transaction", err)
	if !committed {
		t.aborted++
	}
}

func transformExactlyOnce(protocol string, options ...kgo.Opt) {
	input, output := topicOf("input-"+protocol), topicOf("output-"+protocol)
	group := topicOf("transformers-" + protocol)
	create(input, partitions, nil)
	create(output, partitions, nil)
	sent := makeRecords("input", recordCount)
	produce(input, sent)
	options = append(slices.Clone(options), kgo.ConsumerGroup(group), kgo.ConsumeTopics(input))
	reader := newClient(
		kgo.ConsumeTopics(output), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	defer reader.Close()
	workers := []*transformer{newTransformer(group+"-1", options...)}
	var made []*kgo.Record
	waitUntil("one worker has made half of them", func() bool {
		workers[0].round(output)
		made = append(made, poll(reader, 10)...)
		return len(made) >= recordCount/2
	})
	expectProtocol(group, protocol)
	workers = append(workers, newTransformer(group+"-2", options...))
	more := makeRecords("more", recordCount)
	produce(input, more)
	waitUntil("two workers have made the rest", func() bool {
		for _, worker := range workers {
			worker.round(output)
		}
		made = append(made, poll(reader, 10)...)
		return len(made) >= 2*recordCount && workers[1].rounds > 0
	})
	made = append(made, poll(reader, 500)...)
	expect("records made", len(made), 2*recordCount)
	expectMade(made, append(slices.Clone(sent), more...))
	if workers[0].aborted == 0 {
		fail("no transaction was aborted")
	}
	for _, worker := range workers {
		worker.session.Close()
	}
	expectCommitted(group, input, 2*recordCount)
	ok("consume, transform and produce in transactions, " + protocol + " protocol")
}

// Each record once; those of a key in their order.
func expectMade(made, sent []*kgo.Record) {
	values := func(records []*kgo.Record, prefix string) map[string][]string {
		keys := map[string][]string{}
		for _, record := range records {
			key := string(record.Key)
			keys[key] = append(keys[key], prefix+string(record.Value))
		}
		return keys
	}
	expect("what was made", values(made, ""), values(sent, "made of "))
}

func expectCommitted(group, topic string, count int64) {
	ctx, cancel := within(10)
	defer cancel()
	held, err := admin.FetchOffsets(ctx, group)
	must("committed offsets", err)
	var sum int64
	held.Each(func(offset kadm.OffsetResponse) {
		if offset.Topic == topic {
			sum += offset.At
		}
	})
	expect(fmt.Sprintf("offsets that %s has committed", group), sum, count)
}
