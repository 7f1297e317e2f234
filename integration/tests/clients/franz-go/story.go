// The story through franz-go.
package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions  = 4
	recordCount = 200
)

var (
	bootstrap string
	run       = strconv.FormatInt(time.Now().UnixMilli(), 16)
	client    *kgo.Client
	admin     *kadm.Client
)

func main() {
	if len(os.Args) < 2 {
		fail("usage: story HOST:PORT")
	}
	bootstrap = os.Args[1]
	if len(os.Args) == 5 && os.Args[2] == "hold" {
		hold(os.Args[3], os.Args[4])
		return
	}
	fmt.Println("franz-go", franzVersion())
	client = newClient()
	defer client.Close()
	admin = kadm.NewClient(client)
	codecs()
	idempotent()
	groups()
	commitAndResume()
	offsetsByTime()
	administration()
	queues()
}

func franzVersion() string {
	if info, known := debug.ReadBuildInfo(); known {
		for _, module := range info.Deps {
			if module.Path == "github.com/twmb/franz-go" {
				return module.Version
			}
		}
	}
	return "of unknown version"
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func ok(what string) { fmt.Println("ok", what) }

func must(what string, err error) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

func expect(what string, actual, expected any) {
	if !reflect.DeepEqual(actual, expected) {
		fail("%s: expected %v, got %v", what, expected, actual)
	}
}

func within(seconds int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
}

func waitUntil(what string, condition func() bool) {
	for deadline := time.Now().Add(30 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			fail("%s: not within 30 s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func topicOf(purpose string) string { return "franz-" + purpose + "-" + run }

func newClient(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap))...)
	must("a client", err)
	return client
}

func create(topic string, count int32, configs map[string]*string) {
	ctx, cancel := within(30)
	defer cancel()
	_, err := admin.CreateTopic(ctx, count, 1, configs, topic)
	must("creation of "+topic, err)
}

// Keyed records with a header that is there twice, so that nothing may merge them.
func makeRecords(label string, count int) []*kgo.Record {
	records := make([]*kgo.Record, count)
	for number := range records {
		records[number] = &kgo.Record{
			Key:   fmt.Appendf(nil, "key-%d", number%17),
			Value: fmt.Appendf(nil, "%s %d %s", label, number, strings.Repeat("x", number%90)),
			Headers: []kgo.RecordHeader{
				{Key: "label", Value: []byte(label)},
				{Key: "n", Value: []byte(strconv.Itoa(number))},
				{Key: "n", Value: []byte("again")},
			},
		}
	}
	return records
}

func produce(topic string, records []*kgo.Record, options ...kgo.Opt) {
	client := newClient(append(options, kgo.DefaultProduceTopic(topic))...)
	defer client.Close()
	ctx, cancel := within(30)
	defer cancel()
	for _, result := range client.ProduceSync(ctx, records...) {
		must("delivery", result.Err)
	}
}

func poll(client *kgo.Client, milliseconds int) []*kgo.Record {
	timeout := time.Duration(milliseconds) * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	fetches := client.PollFetches(ctx)
	for _, fetchError := range fetches.Errors() {
		if ctx.Err() == nil {
			fail("fetch of %s-%d: %v", fetchError.Topic, fetchError.Partition, fetchError.Err)
		}
	}
	return fetches.Records()
}

// So many records, and then nothing for a moment.
func read(client *kgo.Client, count int) (seen []*kgo.Record) {
	waitUntil(fmt.Sprintf("%d records", count), func() bool {
		seen = append(seen, poll(client, 200)...)
		return len(seen) >= count
	})
	return append(seen, poll(client, 300)...)
}

func readAll(topic string, count int) []*kgo.Record {
	client := newClient(
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	defer client.Close()
	return read(client, count)
}

// What was read is what was sent: each once, in order within a key, no offset left out.
func checkLog(what string, seen, sent []*kgo.Record) {
	expect(what+": records", len(seen), len(sent))
	next := map[int32]int64{}
	for _, record := range seen {
		if expected, known := next[record.Partition]; known {
			expect(what+": offset", record.Offset, expected)
		}
		next[record.Partition] = record.Offset + 1
	}
	expect(what+": records by key", byKey(seen), byKey(sent))
}

func byKey(records []*kgo.Record) map[string][]string {
	keys := map[string][]string{}
	for _, record := range records {
		text := string(record.Value)
		for _, header := range record.Headers {
			text += " " + header.Key + "=" + string(header.Value)
		}
		keys[string(record.Key)] = append(keys[string(record.Key)], text)
	}
	return keys
}

func codecs() {
	for _, codec := range []struct {
		name  string
		codec kgo.CompressionCodec
	}{
		{"none", kgo.NoCompression()},
		{"gzip", kgo.GzipCompression()},
		{"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()},
		{"zstd", kgo.ZstdCompression()},
	} {
		topic := topicOf(codec.name)
		create(topic, partitions, nil)
		sent := makeRecords(codec.name, recordCount)
		produce(topic, sent, kgo.ProducerBatchCompression(codec.codec),
			kgo.DisableIdempotentWrite())
		checkLog(codec.name, readAll(topic, len(sent)), sent)
		ok("produce and consume, " + codec.name)
	}
}

func idempotent() {
	topic := topicOf("idempotent")
	create(topic, partitions, nil)
	sent := makeRecords("idempotent", 1000)
	produce(topic, sent, kgo.ProducerBatchMaxBytes(2000))
	checkLog("idempotent", readAll(topic, len(sent)), sent)
	ok("idempotent produce")
}

// A member of a group that knows what it holds.
type member struct {
	client *kgo.Client
	mutex  sync.Mutex
	held   map[int32]bool
}

func join(group, topic string, options ...kgo.Opt) *member {
	joined := &member{held: map[int32]bool{}}
	change := func(holds bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, moved map[string][]int32) {
			joined.mutex.Lock()
			defer joined.mutex.Unlock()
			for _, partition := range moved[topic] {
				if holds {
					joined.held[partition] = true
				} else {
					delete(joined.held, partition)
				}
			}
		}
	}
	joined.client = newClient(append(options,
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(10*time.Second), kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)),
		kgo.OnPartitionsLost(change(false)),
	)...)
	return joined
}

func (m *member) holds() int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return len(m.held)
}

func (m *member) commit() {
	ctx, cancel := within(10)
	defer cancel()
	must("commit", m.client.CommitUncommittedOffsets(ctx))
}

func groupRebalance(protocol string, options ...kgo.Opt) {
	topic, group := topicOf("group-"+protocol), topicOf("members-"+protocol)
	create(topic, partitions, nil)
	sent := makeRecords("group", recordCount)
	produce(topic, sent)
	var seen []*kgo.Record
	first := join(group, topic, options...)
	waitUntil("one member reads all", func() bool {
		seen = append(seen, poll(first.client, 100)...)
		return first.holds() == partitions && len(seen) == len(sent)
	})
	first.commit()
	second := join(group, topic, options...)
	both := func() bool {
		seen = append(seen, poll(first.client, 50)...)
		seen = append(seen, poll(second.client, 50)...)
		return first.holds() == 2 && second.holds() == 2
	}
	waitUntil("two members share the partitions", both)
	more := makeRecords("more", recordCount)
	produce(topic, more)
	waitUntil("two members read what follows", func() bool {
		return both() && len(seen) >= len(sent)+len(more)
	})
	checkLog("both members together", seen, append(sent, more...))
	expectProtocol(group, protocol)
	second.commit()
	second.client.Close()
	waitUntil("the one that stays has all again", func() bool {
		poll(first.client, 50)
		return first.holds() == partitions
	})
	first.client.Close()
	ok("a group of two rebalances, " + protocol + " protocol")
}

func commitAndResume() {
	topic, group := topicOf("resume"), topicOf("resumes")
	create(topic, 1, nil)
	sent := makeRecords("resume", recordCount)
	produce(topic, sent)
	first := join(group, topic)
	seen := read(first.client, len(sent))
	ctx, cancel := within(10)
	defer cancel()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{
		Topic: topic, Partition: 0, At: 120, LeaderEpoch: -1, Metadata: "half-way",
	})
	first.client.Close()
	must("commit", admin.CommitAllOffsets(ctx, group, offsets))
	held, err := admin.FetchOffsets(ctx, group)
	must("committed offsets", err)
	committed, _ := held.Lookup(topic, 0)
	expect("committed", committed.At, int64(120))
	expect("metadata", committed.Metadata, "half-way")
	second := join(group, topic)
	rest := read(second.client, len(sent)-120)
	second.client.Close()
	checkLog("before and after", append(seen[:120:120], rest...), sent)
	ok("commit and resume")
}

func offsetsByTime() {
	topic := topicOf("time")
	create(topic, 1, nil)
	base := time.Now().Add(-time.Hour).UnixMilli()
	records := make([]*kgo.Record, 100)
	for number := range records {
		records[number] = &kgo.Record{
			Value:     []byte(strconv.Itoa(number)),
			Timestamp: time.UnixMilli(base + int64(number)*1000),
		}
	}
	produce(topic, records)
	ctx, cancel := within(30)
	defer cancel()
	for ask, offset := range map[int64]int64{0: 0, 41000: 41, 41001: 42, 99000: 99, 99001: 100} {
		listed, err := admin.ListOffsetsAfterMilli(ctx, base+ask, topic)
		must("offsets by time", err)
		found, _ := listed.Lookup(topic, 0)
		expect(fmt.Sprintf("the offset at %d ms", ask), found.Offset, offset)
	}
	listed, err := admin.ListStartOffsets(ctx, topic)
	must("start offsets", err)
	found, _ := listed.Lookup(topic, 0)
	expect("start", found.Offset, int64(0))
	listed, err = admin.ListMaxTimestampOffsets(ctx, topic)
	must("max timestamp", err)
	found, _ = listed.Lookup(topic, 0)
	expect("max timestamp", found.Offset, int64(99))
	ok("offsets by timestamp")
}

func configOf(ctx context.Context, topic, key string) string {
	described, err := admin.DescribeTopicConfigs(ctx, topic)
	must("configuration", err)
	for _, config := range described[0].Configs {
		if config.Key == key {
			return config.MaybeValue()
		}
	}
	return "not shown"
}

func administration() {
	ctx, cancel := within(60)
	defer cancel()
	topic, group := topicOf("admin"), topicOf("admins")
	create(topic, 2, map[string]*string{"retention.ms": kadm.StringPtr("123456789")})
	brokers, err := admin.ListBrokers(ctx)
	must("brokers", err)
	expect("nodes", len(brokers), 1)
	expect("retention.ms", configOf(ctx, topic, "retention.ms"), "123456789")
	_, err = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("7200000")},
		{Op: kadm.SetConfig, Name: "segment.bytes", Value: kadm.StringPtr("2097152")},
	}, topic)
	must("alter configuration", err)
	expect("retention.ms", configOf(ctx, topic, "retention.ms"), "7200000")
	expect("segment.bytes", configOf(ctx, topic, "segment.bytes"), "2097152")
	grown, err := admin.UpdatePartitions(ctx, 3, topic)
	must("growth", err)
	must("growth", grown.Error())
	waitUntil("three partitions", func() bool {
		topics, err := admin.ListTopics(ctx, topic)
		return err == nil && len(topics[topic].Partitions) == 3
	})
	deletion(ctx, topic, group)
	ok("admin: describe, alter, grow, delete")
}

func deletion(ctx context.Context, topic, group string) {
	produce(topic, makeRecords("admin", 90))
	reader := join(group, topic)
	read(reader.client, 90)
	reader.commit()
	described, err := admin.DescribeGroups(ctx, group)
	must("group", err)
	expect("group state", described[group].State, "Stable")
	expect("members", len(described[group].Members), 1)
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	must("log directories", err)
	dirs.Each(func(dir kadm.DescribedLogDir) { must("log directory", dir.Err) })
	reader.client.Close()
	held, err := admin.FetchOffsets(ctx, group)
	must("committed offsets", err)
	sum, cut := int64(0), kadm.Offsets{}
	held.Each(func(offset kadm.OffsetResponse) {
		sum += offset.At
		if offset.At > 5 {
			cut = kadm.Offsets{}
			cut.AddOffset(topic, offset.Partition, 5, -1)
		}
	})
	expect("committed in all", sum, int64(90))
	lags, err := admin.Lag(ctx, group)
	must("lag", err)
	lag := lags[group]
	must("lag", lag.Error())
	expect("lag", lag.Lag.Total(), int64(0))
	deleted, err := admin.DeleteRecords(ctx, cut)
	must("delete records", err)
	deleted.Each(func(answer kadm.DeleteRecordsResponse) {
		must("delete records", answer.Err)
		expect("low watermark", answer.LowWatermark, int64(5))
	})
	_, err = admin.DeleteGroup(ctx, group)
	must("delete group", err)
	groups, err := admin.ListGroups(ctx)
	must("groups", err)
	_, listed := groups[group]
	expect("the group is listed", listed, false)
	_, err = admin.DeleteTopic(ctx, topic)
	must("delete topic", err)
	waitUntil("the topic is gone", func() bool {
		topics, err := admin.ListTopics(ctx)
		return err == nil && !topics.Has(topic)
	})
}
