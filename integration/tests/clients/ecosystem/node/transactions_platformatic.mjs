// Transactions through @platformatic/kafka: commit, abort, offsets of a group.

import { createRequire } from 'node:module';

const require = createRequire(`${process.env.NODE_PATH}/`);
const { Consumer, Producer, stringDeserializers, stringSerializers } =
    require('@platformatic/kafka');

const [bootstrap, name] = process.argv.slice(2);
const [source, target, group] = [`${name}-source`, `${name}-target`, `${name}-group`];
const client = { clientId: name, bootstrapBrokers: [bootstrap] };

function expect(what, actual, expected) {
    const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
    if (left !== right) throw new Error(`${what}: expected ${right}, got ${left}`);
}

function consumerOf(groupId) {
    return new Consumer({ ...client, groupId, deserializers: stringDeserializers });
}

const options = {
    autocommit: false, mode: 'earliest', sessionTimeout: 10000, heartbeatInterval: 500,
    maxWaitTime: 200,
};

// What a new group reads from the start, until nothing more comes for two seconds. An isolation
// of 1 shows only what is committed.
async function read(topic, isolationLevel) {
    const consumer = consumerOf(`${group}-${Math.random()}`);
    const stream = await consumer.consume({ ...options, topics: [topic], isolationLevel });
    const values = [];
    let quiet = Date.now() + 3000;
    stream.on('data', message => {
        values.push(message.value);
        quiet = Date.now();
    });
    while (Date.now() - quiet < 2000) await new Promise(resolve => setTimeout(resolve, 50));
    await consumer.close(true);
    return values;
}

const values = (word, count) => Array.from({ length: count }, (_, number) => `${word} ${number}`);
const messages = (topic, word, count) =>
    values(word, count).map(value => ({ topic, value, partition: 0 }));

async function main() {
    console.log('@platformatic/kafka');
    const worker = new Producer({
        ...client, transactionalId: name, idempotent: true, serializers: stringSerializers,
    });
    const kept = await worker.beginTransaction();
    await kept.send({ messages: messages(target, 'kept', 10) });
    await kept.commit();
    const dropped = await worker.beginTransaction();
    await dropped.send({ messages: messages(target, 'dropped', 10) });
    await dropped.abort();
    expect('committed', await read(target, 1), values('kept', 10));
    expect('uncommitted', (await read(target, 0)).length, 20);
    console.log('ok commit and abort');

    const plain = new Producer({ ...client, serializers: stringSerializers });
    await plain.send({ messages: messages(source, 'record', 50), acks: -1 });
    await plain.close();
    const consumer = consumerOf(group);
    const stream = await consumer.consume({ ...options, topics: [source] });
    const step = await worker.beginTransaction();
    await step.addConsumer(consumer);
    let moved = 0;
    for await (const message of stream) {
        await step.send({ messages: [
            { topic: target, value: `moved ${message.value}`, partition: 0 },
        ] });
        await step.addOffset(message);
        moved += 1;
        if (moved === 50) break;
    }
    await step.commit();
    await consumer.close(true);
    await worker.close();
    expect('moved', await read(target, 1),
        [...values('kept', 10), ...values('moved record', 50)]);
    console.log('ok consume, transform, produce, with the offsets of the group in the transaction');
}

main().then(() => process.exit(0), error => {
    console.error(error);
    process.exit(1);
});
