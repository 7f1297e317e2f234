// Transactions through sarama: commit, abort, offsets of a group, fencing.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"
)

const records = 50

var bootstrap, name, source, target, group string

func fail(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func expect(what string, actual, expected any) {
	if fmt.Sprint(actual) != fmt.Sprint(expected) {
		fmt.Fprintf(os.Stderr, "%s: expected %v, got %v\n", what, expected, actual)
		os.Exit(1)
	}
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	return config
}

func transactional() sarama.SyncProducer {
	config := config()
	config.Producer.Idempotent = true
	config.Producer.Transaction.ID = name
	config.Net.MaxOpenRequests = 1
	producer, err := sarama.NewSyncProducer([]string{bootstrap}, config)
	fail("a transactional producer", err)
	return producer
}

func send(producer sarama.SyncProducer, topic, value string) error {
	_, _, err := producer.SendMessage(&sarama.ProducerMessage{
		Topic: topic, Partition: 0, Value: sarama.StringEncoder(value),
	})
	return err
}

// read gives all values of a topic, until nothing more comes for two seconds.
func read(topic string, isolation sarama.IsolationLevel) []string {
	config := config()
	config.Consumer.IsolationLevel = isolation
	consumer, err := sarama.NewConsumer([]string{bootstrap}, config)
	fail("a consumer", err)
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	fail("a partition", err)
	defer partition.Close()
	var values []string
	for {
		select {
		case message := <-partition.Messages():
			values = append(values, string(message.Value))
		case <-time.After(2 * time.Second):
			return values
		}
	}
}

func values(word string, count int) []string {
	var made []string
	for number := 0; number < count; number++ {
		made = append(made, fmt.Sprintf("%s %d", word, number))
	}
	return made
}

func commitAndAbort(worker sarama.SyncProducer) {
	fail("begin", worker.BeginTxn())
	for _, value := range values("kept", 10) {
		fail("send", send(worker, target, value))
	}
	fail("commit", worker.CommitTxn())
	fail("begin", worker.BeginTxn())
	for _, value := range values("dropped", 10) {
		fail("send", send(worker, target, value))
	}
	fail("abort", worker.AbortTxn())
	expect("committed", read(target, sarama.ReadCommitted), values("kept", 10))
	expect("uncommitted", len(read(target, sarama.ReadUncommitted)), 20)
	fmt.Println("ok commit and abort")
}

func transform(worker sarama.SyncProducer) {
	plain, err := sarama.NewSyncProducer([]string{bootstrap}, config())
	fail("a producer", err)
	for _, value := range values("record", records) {
		fail("send", send(plain, source, value))
	}
	fail("close", plain.Close())
	consumer, err := sarama.NewConsumer([]string{bootstrap}, config())
	fail("a consumer", err)
	partition, err := consumer.ConsumePartition(source, 0, sarama.OffsetOldest)
	fail("a partition", err)
	for moved := 0; moved < records; {
		fail("begin", worker.BeginTxn())
		for step := 0; step < 10; step++ {
			message := <-partition.Messages()
			fail("send", send(worker, target, "moved "+string(message.Value)))
			fail("offset", worker.AddMessageToTxn(message, group, nil))
			moved++
		}
		fail("commit", worker.CommitTxn())
	}
	fail("close", partition.Close())
	fail("close", consumer.Close())
	admin, err := sarama.NewClusterAdmin([]string{bootstrap}, config())
	fail("an admin", err)
	offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{source: {0}})
	fail("offsets", err)
	expect("the group's offset", offsets.GetBlock(source, 0).Offset, records)
	fail("close", admin.Close())
	expect("moved", read(target, sarama.ReadCommitted),
		append(values("kept", 10), values("moved record", records)...))
	fmt.Println("ok consume, transform, produce, with the group's offsets in the transaction")
}

func fencing(worker sarama.SyncProducer) {
	second := transactional()
	err := worker.BeginTxn()
	if err == nil {
		err = send(worker, target, "fenced")
	}
	if err == nil {
		err = worker.CommitTxn()
	}
	expect("the older producer is fenced", err != nil, true)
	fail("begin", second.BeginTxn())
	fail("send", send(second, target, "second"))
	fail("commit", second.CommitTxn())
	all := read(target, sarama.ReadCommitted)
	expect("last", all[len(all)-1], "second")
	expect("all", len(all), 10+records+1)
	fmt.Println("ok a younger producer of the same id fences the older")
}

func main() {
	bootstrap, name = os.Args[1], os.Args[2]
	source, target, group = name+"-source", name+"-target", name+"-group"
	fmt.Println("sarama")
	worker := transactional()
	commitAndAbort(worker)
	transform(worker)
	fencing(worker)
}
