// The story through kafkajs.

'use strict';

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } =
    require('kafkajs');
const Snappy = require('kafkajs-snappy');
const version = require('kafkajs/package.json').version;

const PARTITIONS = 4;
const RECORDS = 200;

CompressionCodecs[CompressionTypes.Snappy] = Snappy;

if (process.argv.length !== 3) fail('usage: story.js HOST:PORT');
const kafka = new Kafka({
    clientId: 'story', brokers: [process.argv[2]], logLevel: logLevel.NOTHING,
});
const admin = kafka.admin();
const run = Date.now().toString(16);
const topicOf = purpose => `kafkajs-${purpose}-${run}`;

function fail(sentence) {
    console.error(sentence);
    process.exit(1);
}

function ok(what) {
    console.log(`ok ${what}`);
}

function expect(what, actual, expected) {
    const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
    if (left !== right) fail(`${what}: expected ${right}, got ${left}`);
}

async function waitUntil(what, seconds, condition) {
    const deadline = Date.now() + seconds * 1000;
    while (!await condition()) {
        if (Date.now() > deadline) fail(`${what}: not within ${seconds} s`);
        await new Promise(resolve => setTimeout(resolve, 50));
    }
}

function makeRecords(label, count = RECORDS) {
    return Array.from({ length: count }, (_, number) => ({
        key: `key-${number % 17}`,
        value: `${label} ${number} ${'x'.repeat(number % 90)}`,
        headers: { label, n: [String(number), 'again'] },
    }));
}

// A header of one value is a buffer, one of several an array of buffers.
function plainHeaders(headers) {
    return Object.fromEntries(Object.entries(headers).map(([name, value]) =>
        [name, Array.isArray(value) ? value.map(String) : String(value)]));
}

// What was read is what was sent: each once, in order within a key, no offset left out.
function checkLog(what, seen, sent) {
    expect(`${what}: records`, seen.length, sent.length);
    const next = new Map();
    for (const record of seen) {
        const expected = next.get(record.partition) ?? record.offset;
        expect(`${what}: the offset in ${record.partition}`, record.offset, expected);
        next.set(record.partition, record.offset + 1);
    }
    const byKey = records => {
        const keys = {};
        for (const record of records) {
            (keys[record.key] ??= []).push([record.value, record.headers]);
        }
        return Object.entries(keys).sort();
    };
    expect(`${what}: records by key`, byKey(seen), byKey(sent));
}

async function create(topic, numPartitions = PARTITIONS, config = {}) {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    const topics = [{ topic, numPartitions, replicationFactor: 1, configEntries }];
    expect(`creation of ${topic}`, await admin.createTopics({ topics }), true);
}

async function produce(topic, messages, { compression, ...settings } = {}) {
    const producer = kafka.producer({ allowAutoTopicCreation: false, ...settings });
    await producer.connect();
    for (let first = 0; first < messages.length; first += 50) {
        await producer.send({
            topic, compression, acks: -1, messages: messages.slice(first, first + 50),
        });
    }
    await producer.disconnect();
}

// A member of a group that collects what it reads and knows what it holds.
async function join(groupId, topic, seen) {
    const member = kafka.consumer({
        groupId, sessionTimeout: 10000, heartbeatInterval: 300, rebalanceTimeout: 10000,
        maxWaitTimeInMs: 200,
    });
    const held = { partitions: [] };
    member.on(member.events.GROUP_JOIN, event => {
        held.partitions = event.payload.memberAssignment[topic] ?? [];
    });
    await member.connect();
    await member.subscribe({ topics: [topic], fromBeginning: true });
    await member.run({
        autoCommit: false,
        eachMessage: async ({ partition, message }) => {
            seen.push({
                partition,
                offset: Number(message.offset),
                key: String(message.key),
                value: String(message.value),
                headers: plainHeaders(message.headers),
            });
        },
    });
    return { member, held };
}

// `count` records, and then nothing for a moment.
async function readAll(topic, count) {
    const seen = [];
    const { member } = await join(`${topic}-reader`, topic, seen);
    await waitUntil(`${count} records`, 30, () => seen.length >= count);
    await new Promise(resolve => setTimeout(resolve, 300));
    await member.disconnect();
    return seen;
}

async function codecs() {
    for (const [name, compression] of [['none', CompressionTypes.None],
        ['gzip', CompressionTypes.GZIP], ['snappy', CompressionTypes.Snappy]]) {
        const topic = topicOf(name);
        await create(topic);
        const sent = makeRecords(name);
        await produce(topic, sent, { compression });
        checkLog(name, await readAll(topic, sent.length), sent);
        ok(`produce and consume, ${name}`);
    }
}

async function idempotent() {
    const topic = topicOf('idempotent');
    await create(topic);
    const sent = makeRecords('idempotent', 1000);
    await produce(topic, sent, { idempotent: true, maxInFlightRequests: 1 });
    checkLog('idempotent', await readAll(topic, sent.length), sent);
    ok('idempotent produce');
}

async function groupRebalance() {
    const [topic, group] = [topicOf('group'), topicOf('members')];
    await create(topic);
    const seen = [];
    const sent = makeRecords('group');
    await produce(topic, sent);
    const first = await join(group, topic, seen);
    await waitUntil('one member reads all', 30, () =>
        seen.length === sent.length && first.held.partitions.length === PARTITIONS);
    await commitAll(first.member, topic, seen);
    const second = await join(group, topic, seen);
    await waitUntil('two members share the partitions', 30, () =>
        first.held.partitions.length === 2 && second.held.partitions.length === 2);
    const more = makeRecords('more');
    await produce(topic, more);
    await waitUntil('two members read what follows', 30, () =>
        seen.length >= sent.length + more.length);
    seen.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
    checkLog('both members together', seen, [...sent, ...more]);
    await second.member.disconnect();
    await waitUntil('the one that stays has all again', 30, () =>
        first.held.partitions.length === PARTITIONS);
    await first.member.disconnect();
    ok('a group of two rebalances');
}

function commitAll(member, topic, seen) {
    const ends = {};
    for (const record of seen) ends[record.partition] = String(record.offset + 1);
    return member.commitOffsets(Object.entries(ends).map(([partition, offset]) =>
        ({ topic, partition: Number(partition), offset })));
}

async function commitAndResume() {
    const [topic, group] = [topicOf('resume'), topicOf('resumes')];
    await create(topic, 1);
    const sent = makeRecords('resume');
    await produce(topic, sent);
    const seen = [];
    const first = await join(group, topic, seen);
    await waitUntil('all is read', 30, () => seen.length === sent.length);
    await first.member.commitOffsets(
        [{ topic, partition: 0, offset: '120', metadata: 'half-way' }]);
    await first.member.disconnect();
    const held = await admin.fetchOffsets({ groupId: group, topics: [topic] });
    expect('committed', held[0].partitions,
        [{ partition: 0, offset: '120', metadata: 'half-way' }]);
    const rest = [];
    const second = await join(group, topic, rest);
    await waitUntil('the rest is read', 30, () => rest.length >= sent.length - 120);
    await second.member.disconnect();
    checkLog('before and after', [...seen.slice(0, 120), ...rest], sent);
    ok('commit and resume');
}

async function offsetsByTime() {
    const topic = topicOf('time');
    await create(topic, 1);
    const base = Date.now() - 3600000;
    await produce(topic, Array.from({ length: 100 }, (_, number) =>
        ({ value: String(number), timestamp: String(base + number * 1000) })));
    expect('watermarks', await admin.fetchTopicOffsets(topic),
        [{ partition: 0, offset: '100', high: '100', low: '0' }]);
    for (const [ask, offset] of [[0, '0'], [41000, '41'], [41001, '42'], [99000, '99'],
        [99001, '100']]) {
        expect(`the offset at ${ask} ms`, await admin.fetchTopicOffsetsByTimestamp(
            topic, base + ask), [{ partition: 0, offset }]);
    }
    ok('offsets by timestamp');
}

async function configOf(name, key) {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name, configNames: [key] }];
    const answer = await admin.describeConfigs({ resources, includeSynonyms: false });
    return answer.resources[0].configEntries[0].configValue;
}

async function administration() {
    const [topic, group] = [topicOf('admin'), topicOf('admins')];
    await create(topic, 2, { 'retention.ms': '123456789' });
    expect('nodes', (await admin.describeCluster()).brokers.length, 1);
    expect('retention.ms', await configOf(topic, 'retention.ms'), '123456789');
    await admin.alterConfigs({
        validateOnly: false,
        resources: [{
            type: ConfigResourceTypes.TOPIC, name: topic,
            configEntries: [{ name: 'retention.ms', value: '7200000' }],
        }],
    });
    expect('retention.ms', await configOf(topic, 'retention.ms'), '7200000');
    await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
    await waitUntil('three partitions', 10, async () =>
        (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length === 3);
    await deletion(topic, group);
    ok('admin: describe, alter, grow, delete');
}

async function deletion(topic, group) {
    const seen = [];
    await produce(topic, makeRecords('admin', 90));
    const reader = await join(group, topic, seen);
    await waitUntil('all is read', 30, () => seen.length === 90);
    await commitAll(reader.member, topic, seen);
    const described = (await admin.describeGroups([group])).groups[0];
    expect('group state', [described.state, described.members.length], ['Stable', 1]);
    await reader.member.disconnect();
    const held = (await admin.fetchOffsets({ groupId: group, topics: [topic] }))[0].partitions;
    const committed = held.filter(({ offset }) => offset !== '-1');
    expect('committed in all', committed.reduce((sum, { offset }) => sum + Number(offset), 0), 90);
    const listed = async () => (await admin.listGroups()).groups.map(entry => entry.groupId);
    expect('the group is listed', (await listed()).includes(group), true);
    const { partition } = committed.find(({ offset }) => Number(offset) > 5);
    await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: '5' }] });
    const offsets = await admin.fetchTopicOffsets(topic);
    expect('low watermark', offsets.find(entry => entry.partition === partition).low, '5');
    await admin.deleteGroups([group]);
    expect('the group is gone', (await listed()).includes(group), false);
    await admin.deleteTopics({ topics: [topic] });
    await waitUntil('the topic is gone', 10, async () =>
        !(await admin.listTopics()).includes(topic));
}

async function main() {
    console.log(`kafkajs ${version}`);
    await admin.connect();
    await codecs();
    await idempotent();
    await groupRebalance();
    await commitAndResume();
    await offsetsByTime();
    await administration();
    await admin.disconnect();
}

main().then(() => process.exit(0), error => fail(error.stack));
