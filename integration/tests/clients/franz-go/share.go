// The queue's part of the story: a share group's members, their verdicts, their leases, and what
// an administrator sees and sets. Apache Kafka must be started with
// group.share.min.record.lock.duration.ms=1000, and is quick only with a short
// group.share.heartbeat.interval.ms and a group.share.assignment.interval.ms of 0.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A lock that outlasts the whole story: what comes back sooner was given back.
const longLock = "60000"

func queues() {
	eachToOne()
	verdicts()
	deliveryLimit()
	renewal()
	closedMember()
	killedMember()
	shareOffsets()
}

// configure sets a group's configuration, and returns once the server shows it.
func configure(group string, configs map[string]string) {
	ctx, cancel := within(10)
	defer cancel()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	for name, value := range configs {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = name, kmsg.StringPtr(value)
		resource.Configs = append(resource.Configs, config)
	}
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, client)
	must("configuration of "+group, err)
	must("configuration of "+group, kerr.ErrorForCode(response.Resources[0].ErrorCode))
	waitUntil("configuration of "+group, func() bool {
		shown := configsOf(ctx, group)
		for name, value := range configs {
			if shown[name] != value {
				return false
			}
		}
		return true
	})
}

func configsOf(ctx context.Context, group string) map[string]string {
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	request := kmsg.NewPtrDescribeConfigsRequest()
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, client)
	must("configuration of "+group, err)
	must("configuration of "+group, kerr.ErrorForCode(response.Resources[0].ErrorCode))
	shown := map[string]string{}
	for _, config := range response.Resources[0].Configs {
		if config.Value != nil {
			shown[config.Name] = *config.Value
		}
	}
	return shown
}

// A worker asks for records only when it is told to, and remembers what became of its verdicts.
type worker struct {
	client *kgo.Client
	mutex  sync.Mutex
	err    error
}

func newWorker(group, topic string, atOnce int32) *worker {
	started := &worker{}
	started.client = newClient(
		kgo.ShareGroup(group), kgo.ConsumeTopics(topic),
		kgo.ShareMaxRecords(atOnce), kgo.ShareMaxRecordsStrict(),
		kgo.FetchMaxWait(250*time.Millisecond),
		kgo.ShareAckCallback(func(_ *kgo.Client, results kgo.ShareAckResults) {
			started.mutex.Lock()
			defer started.mutex.Unlock()
			started.err = errors.Join(started.err, results.Error())
		}),
	)
	return started
}

// flush sends the verdicts, and says what came of all since the last call.
func (w *worker) flush() error {
	ctx, cancel := within(10)
	defer cancel()
	must("flush of acknowledgements", w.client.FlushAcks(ctx))
	w.mutex.Lock()
	defer w.mutex.Unlock()
	err := w.err
	w.err = nil
	return err
}

func (w *worker) close() {
	w.client.Close()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	must("acknowledgements", w.err)
}

// take polls until there are so many records.
func (w *worker) take(what string, count int) (taken []*kgo.Record) {
	waitUntil(what, func() bool {
		taken = append(taken, poll(w.client, 300)...)
		return len(taken) >= count
	})
	expect(what+": records", len(taken), count)
	return taken
}

// nothing polls for so long and gets no record.
func (w *worker) nothing(what string, milliseconds int) {
	deadline := time.Now().Add(time.Duration(milliseconds) * time.Millisecond)
	for time.Now().Before(deadline) {
		expect(what, offsetsOf(poll(w.client, 200)), []int64{})
	}
}

func (w *worker) give(status kgo.AckStatus, records ...*kgo.Record) {
	for _, record := range records {
		record.Ack(status)
	}
	must(status.String(), w.flush())
}

func sortByOffset(records []*kgo.Record) {
	slices.SortFunc(records, func(a, b *kgo.Record) int { return int(a.Offset - b.Offset) })
}

func offsetsOf(records []*kgo.Record) []int64 {
	offsets := []int64{}
	for _, record := range records {
		offsets = append(offsets, record.Offset)
	}
	slices.Sort(offsets)
	return offsets
}

func countsOf(records []*kgo.Record) map[int64]int32 {
	counts := map[int64]int32{}
	for _, record := range records {
		counts[record.Offset] = record.DeliveryCount()
	}
	return counts
}

// newQueue makes a topic of one partition with records, and configures its group, which is not
// there yet.
func newQueue(purpose string, records int, configs map[string]string) (topic, group string) {
	topic, group = topicOf(purpose), topicOf(purpose+"-workers")
	create(topic, 1, nil)
	configs["share.auto.offset.reset"] = "earliest"
	configure(group, configs)
	produce(topic, makeRecords(purpose, records))
	return topic, group
}

func describeShare(group string) kadm.DescribedShareGroup {
	ctx, cancel := within(10)
	defer cancel()
	described, err := admin.DescribeShareGroups(ctx, group)
	must("description of "+group, err)
	return described[group]
}

func eachToOne() {
	topic, group := topicOf("queue"), topicOf("workers")
	create(topic, 2, nil)
	configure(group, map[string]string{"share.auto.offset.reset": "earliest"})
	workers := []*worker{newWorker(group, topic, 20), newWorker(group, topic, 20)}
	waitUntil("two workers have joined", func() bool {
		for _, worker := range workers {
			expect("records before there are any", len(poll(worker.client, 50)), 0)
		}
		described := describeShare(group)
		assigned := len(described.Members) == 2
		for _, member := range described.Members {
			assigned = assigned && len(member.Assignment[topic]) > 0
			expect("subscribed", member.SubscribedTopicNames, []string{topic})
		}
		return assigned
	})
	described := describeShare(group)
	expect("group state", described.GroupState, "Stable")
	expect("assignor", described.Assignor, "simple")
	sent := makeRecords("queue", 1000)
	produce(topic, sent)
	var taken []*kgo.Record
	var parts [2]int
	waitUntil("all records are handed out", func() bool {
		for index, worker := range workers {
			records := poll(worker.client, 100)
			parts[index] += len(records)
			taken = append(taken, records...)
			worker.client.MarkAcks(kgo.AckAccept)
			must("accept", worker.flush())
		}
		return len(taken) >= len(sent)
	})
	if parts[0] == 0 || parts[1] == 0 {
		fail("the two workers got %v records", parts)
	}
	for _, record := range taken {
		expect("delivery count", record.DeliveryCount(), int32(1))
	}
	sortByOffset(taken)
	checkLog("both workers together", taken, sent)
	for _, worker := range workers {
		worker.nothing("records after all were accepted", 300)
		worker.close()
	}
	ok("a queue: each record to one of two workers")
}

func verdicts() {
	topic, group := newQueue("verdict", 12, map[string]string{
		"share.record.lock.duration.ms": longLock,
	})
	worker := newWorker(group, topic, 12)
	for _, record := range worker.take("first deliveries", 12) {
		expect("first delivery count", record.DeliveryCount(), int32(1))
		switch record.Offset % 3 {
		case 0:
			record.Ack(kgo.AckAccept)
		case 1:
			record.Ack(kgo.AckRelease)
		case 2:
			record.Ack(kgo.AckReject)
		}
	}
	must("verdicts", worker.flush())
	again := worker.take("second deliveries", 4)
	expect("released", countsOf(again), map[int64]int32{1: 2, 4: 2, 7: 2, 10: 2})
	worker.give(kgo.AckAccept, again...)
	worker.nothing("records after the last verdict", 500)
	worker.close()
	ok("a queue: accept, release, reject")
}

func deliveryLimit() {
	topic, group := newQueue("limit", 1, map[string]string{})
	worker := newWorker(group, topic, 1)
	for count := range 5 {
		record := worker.take("one more delivery", 1)[0]
		expect("delivery count", record.DeliveryCount(), int32(count+1))
		worker.give(kgo.AckRelease, record)
	}
	worker.nothing("a sixth delivery", 500)
	worker.close()
	ok("a queue: a record is delivered five times at most")
}

func renewal() {
	topic, group := newQueue("renew", 3, map[string]string{
		"share.record.lock.duration.ms": "1000",
	})
	holder := newWorker(group, topic, 3)
	held := holder.take("all records", 3)
	sortByOffset(held)
	other := newWorker(group, topic, 3)
	var taken []*kgo.Record
	for range 6 {
		holder.give(kgo.AckRenew, held[0], held[2])
		taken = append(taken, poll(other.client, 400)...)
		if len(taken) > 0 {
			other.client.MarkAcks(kgo.AckAccept)
			must("accept what ran out", other.flush())
		}
	}
	expect("what the other worker got", countsOf(taken), map[int64]int32{1: 2})
	holder.give(kgo.AckAccept, held[2])
	held[1].Ack(kgo.AckAccept)
	if err := holder.flush(); !errors.Is(err, kerr.InvalidRecordState) {
		fail("a verdict on a lost lease: expected INVALID_RECORD_STATE, got %v", err)
	}
	// The client takes this error for a move of the partition: what it says of the last record
	// may come to nothing, but its connection ends.
	holder.client.Close()
	last := other.take("the record that was held", 1)
	expect("the record that was held", countsOf(last), map[int64]int32{0: 2})
	other.give(kgo.AckAccept, last...)
	other.nothing("records after all were accepted", 1300)
	other.close()
	ok("a queue: a renewed lease is kept, another one runs out")
}

func closedMember() {
	topic, group := newQueue("close", 20, map[string]string{
		"share.record.lock.duration.ms": longLock,
	})
	leaver := newWorker(group, topic, 10)
	held := leaver.take("half of the records", 10)
	for _, record := range held[:3] {
		record.Ack(kgo.AckAccept)
	}
	leaver.close()
	expectRest(topic, group, held[3:])
	ok("a queue: records in hand come back when a worker closes")
}

// expectRest has another worker take all that is left of 20 records of which 3 were accepted;
// these it gets for the second time.
func expectRest(topic, group string, again []*kgo.Record) {
	other := newWorker(group, topic, 20)
	rest := other.take("the rest", 17)
	expected := map[int64]int32{}
	for _, record := range rest {
		expected[record.Offset] = 1
	}
	for _, record := range again {
		expected[record.Offset] = 2
	}
	expect("the rest", countsOf(rest), expected)
	other.give(kgo.AckAccept, rest...)
	other.close()
}

// hold is what a process does that is to be killed: it says that it holds ten records, of which it
// has accepted three.
func hold(topic, group string) {
	worker := newWorker(group, topic, 10)
	held := worker.take("records to hold", 10)
	sortByOffset(held)
	worker.give(kgo.AckAccept, held[:3]...)
	fmt.Println("held")
	time.Sleep(time.Minute)
}

func killedMember() {
	topic, group := newQueue("kill", 20, map[string]string{
		"share.record.lock.duration.ms": longLock,
	})
	victim := exec.Command(os.Args[0], bootstrap, "hold", topic, group)
	victim.Stderr = os.Stderr
	output, err := victim.StdoutPipe()
	must("a worker process", err)
	must("a worker process", victim.Start())
	said := make([]byte, 5)
	_, err = output.Read(said)
	must("a worker process", err)
	expect("the worker process says", string(said), "held\n")
	must("kill -9", victim.Process.Kill())
	_ = victim.Wait()
	again := []*kgo.Record{}
	for offset := range 7 {
		again = append(again, &kgo.Record{Offset: int64(offset + 3)})
	}
	expectRest(topic, group, again)
	ok("a queue: records in hand come back when a worker is killed")
}

func shareOffsetOf(ctx context.Context, group, topic string) (kadm.ShareOffset, bool) {
	described, err := admin.DescribeShareGroupOffsets(ctx, group)
	must("offsets of "+group, err)
	must("offsets of "+group, described.Error())
	return described[group].Offsets.Lookup(topic, 0)
}

// waitForLag waits until so many records are before a group. Apache Kafka moves the start that it
// shows only with the verdict after the one that moved it, so the start of a group at work is not
// looked at.
func waitForLag(ctx context.Context, group, topic string, lag int64) {
	waitUntil(fmt.Sprintf("lag %d of %s", lag, group), func() bool {
		offset, known := shareOffsetOf(ctx, group, topic)
		return known && offset.Lag == lag
	})
}

func shareOffsets() {
	ctx, cancel := within(60)
	defer cancel()
	topic, group := newQueue("offsets", 20, map[string]string{})
	first := newWorker(group, topic, 8)
	first.give(kgo.AckAccept, first.take("eight records", 8)...)
	waitForLag(ctx, group, topic, 12)
	back := kadm.Offsets{}
	back.AddOffset(topic, 0, 5, -1)
	_, err := admin.AlterShareGroupOffsets(ctx, group, back)
	if !errors.Is(err, kerr.NonEmptyGroup) {
		fail("offsets of a group with a member: expected NON_EMPTY_GROUP, got %v", err)
	}
	groups, err := admin.ListGroupsByType(ctx, []string{"share"})
	must("share groups", err)
	expect("the group as it is listed", groups[group].State, "Stable")
	first.close()
	altered, err := admin.AlterShareGroupOffsets(ctx, group, back)
	must("alter offsets", err)
	must("alter offsets", altered.Error())
	moved, _ := shareOffsetOf(ctx, group, topic)
	expect("altered offset and lag", []int64{moved.StartOffset, moved.Lag}, []int64{5, 15})
	second := newWorker(group, topic, 20)
	rest := second.take("all from the altered offset on", 15)
	expect("the first of them", offsetsOf(rest)[0], int64(5))
	second.give(kgo.AckAccept, rest...)
	waitForLag(ctx, group, topic, 0)
	second.close()
	deleted, err := admin.DeleteShareGroupOffsets(ctx, group, topic)
	must("delete offsets", err)
	must("delete offsets", deleted.Error())
	_, known := shareOffsetOf(ctx, group, topic)
	expect("there are offsets after their deletion", known, false)
	_, err = admin.DeleteGroup(ctx, group)
	must("delete group", err)
	groups, err = admin.ListGroupsByType(ctx, []string{"share"})
	must("share groups", err)
	_, listed := groups[group]
	expect("the group is listed after its deletion", listed, false)
	ok("a queue: describe, alter and delete offsets, delete the group")
}
