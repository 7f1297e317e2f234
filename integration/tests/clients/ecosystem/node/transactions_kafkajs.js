// Transactions through kafkajs: commit, abort, offsets of a group, fencing.

'use strict';

const { Kafka, logLevel } = require('kafkajs');

const [bootstrap, name] = process.argv.slice(2);
const [source, target, group] = [`${name}-source`, `${name}-target`, `${name}-group`];
const kafka = new Kafka({ clientId: name, brokers: [bootstrap], logLevel: logLevel.NOTHING });

function expect(what, actual, expected) {
    const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
    if (left !== right) throw new Error(`${what}: expected ${right}, got ${left}`);
}

async function transactional() {
    const producer = kafka.producer({
        transactionalId: name, maxInFlightRequests: 1, idempotent: true,
    });
    await producer.connect();
    return producer;
}

// What a new group reads from the start; until nothing more comes for two seconds.
async function read(topic, readUncommitted) {
    const consumer = kafka.consumer({
        groupId: `${group}-${Math.random()}`, readUncommitted, maxWaitTimeInMs: 200,
    });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    const values = [];
    let quiet = Date.now() + 3000;
    await consumer.run({
        eachMessage: async ({ message }) => {
            values.push(String(message.value));
            quiet = Date.now();
        },
    });
    while (Date.now() - quiet < 2000) await new Promise(resolve => setTimeout(resolve, 50));
    await consumer.disconnect();
    return values;
}

const values = (word, count) => Array.from({ length: count }, (_, number) => `${word} ${number}`);
const messages = (word, count) =>
    values(word, count).map(value => ({ value, partition: 0 }));

async function main() {
    console.log(`kafkajs ${require('kafkajs/package.json').version}`);
    const worker = await transactional();
    const kept = await worker.transaction();
    await kept.send({ topic: target, messages: messages('kept', 10) });
    await kept.commit();
    const dropped = await worker.transaction();
    await dropped.send({ topic: target, messages: messages('dropped', 10) });
    await dropped.abort();
    expect('committed', await read(target, false), values('kept', 10));
    expect('uncommitted', (await read(target, true)).length, 20);
    console.log('ok commit and abort');

    const plain = kafka.producer();
    await plain.connect();
    await plain.send({ topic: source, messages: messages('record', 50) });
    await plain.disconnect();
    const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: 200 });
    await consumer.connect();
    await consumer.subscribe({ topics: [source], fromBeginning: true });
    let moved = 0;
    await consumer.run({
        autoCommit: false,
        eachBatch: async ({ batch }) => {
            const step = await worker.transaction();
            await step.send({
                topic: target,
                messages: batch.messages.map(({ value }) =>
                    ({ value: `moved ${value}`, partition: 0 })),
            });
            await step.sendOffsets({
                consumerGroupId: group,
                topics: [{ topic: source, partitions: [
                    { partition: 0, offset: String(Number(batch.lastOffset()) + 1) },
                ] }],
            });
            await step.commit();
            moved += batch.messages.length;
        },
    });
    const deadline = Date.now() + 30000;
    while (moved < 50 && Date.now() < deadline) {
        await new Promise(resolve => setTimeout(resolve, 50));
    }
    await consumer.disconnect();
    const admin = kafka.admin();
    await admin.connect();
    const [{ partitions }] = await admin.fetchOffsets({ groupId: group, topics: [source] });
    expect('the offset of the group', partitions.find(p => p.partition === 0).offset, '50');
    await admin.disconnect();
    expect('moved', await read(target, false),
        [...values('kept', 10), ...values('moved record', 50)]);
    console.log('ok consume, transform, produce, with the offsets of the group in the transaction');

    const second = await transactional();
    const younger = await second.transaction();
    await younger.send({ topic: target, messages: messages('second', 1) });
    let fenced = false;
    try {
        const older = await worker.transaction();
        await older.send({ topic: target, messages: messages('fenced', 1) });
        await older.commit();
    } catch (error) {
        fenced = true;
    }
    expect('the older producer is fenced', fenced, true);
    await younger.commit();
    const all = await read(target, false);
    expect('last', all[all.length - 1], 'second 0');
    console.log('ok a younger producer of the same id fences the older');
    await Promise.all([worker.disconnect(), second.disconnect()]);
}

main().catch(error => {
    console.error(error);
    process.exit(1);
});
