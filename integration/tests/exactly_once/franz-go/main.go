// A worker that reads ids and writes each to two outputs, exactly once, with franz-go:
// SERVER GROUP INPUT OUTPUT_A OUTPUT_B NAME SEED RECORDS, the last being how many ids one
// transaction takes at most. It ends at the first thing that goes wrong, and is then started again
// under the same name.
package main

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const abortedPercent = 10

func main() {
	if err := work(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "franz-go:", err)
		os.Exit(1)
	}
}

func work(words []string) error {
	name, outputs := words[5], words[3:5]
	seed, err := strconv.ParseInt(words[6], 10, 64)
	if err != nil {
		return err
	}
	records, err := strconv.Atoi(words[7])
	if err != nil {
		return err
	}
	random := rand.New(rand.NewSource(seed))
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(words[0]),
		kgo.ConsumerGroup(words[1]),
		kgo.ConsumeTopics(words[2]),
		kgo.InstanceID(name),
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.RequireStableFetchOffsets(),
		kgo.TransactionalID(name),
		kgo.TransactionTimeout(10*time.Second),
	)
	if err != nil {
		return err
	}
	life := fmt.Sprintf("%s:%d", name, os.Getpid())
	for number := 0; ; number++ {
		attempt := fmt.Sprintf("%s:%d", life, number)
		if err := transact(session, records, outputs, attempt, random); err != nil {
			return err
		}
	}
}

// transact reads some ids and writes them in one transaction.
func transact(
	session *kgo.GroupTransactSession,
	records int,
	outputs []string,
	attempt string,
	random *rand.Rand,
) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	fetches := session.PollRecords(ctx, records)
	if ctx.Err() != nil || fetches.NumRecords() == 0 {
		return nil
	}
	if err := session.Begin(); err != nil {
		return err
	}
	fate, end := "keep", kgo.TryCommit
	if random.Intn(100) < abortedPercent {
		fate, end = "drop", kgo.TryAbort
	}
	promise := kgo.AbortingFirstErrPromise(session.Client())
	fetches.EachRecord(func(record *kgo.Record) {
		for _, output := range outputs {
			session.Produce(ctx, &kgo.Record{
				Topic: output,
				Key:   record.Value,
				Value: fmt.Appendf(nil, "%s %s %s", record.Value, attempt, fate),
			}, promise.Promise())
		}
	})
	if err := session.Client().Flush(ctx); err != nil {
		return err
	}
	// What could not be sent is not committed; the session goes back by itself.
	if err := promise.Err(); err != nil {
		end = kgo.TryAbort
	}
	_, err := session.End(ctx, end)
	return err
}
