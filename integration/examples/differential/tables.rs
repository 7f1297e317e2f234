//! Runs the scenarios that stand in tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::messages::{ApiKey as KafkaKey, RequestHeader};
use kafka_protocol::protocol::Encodable;
use ratel_integration::RawClient;
use ratel_integration::differential::Facts;
use ratel_integration::differential::script::{Line, Request, Script, Way, read};
use ratel_integration::differential::wire;
use ratel_protocol::ApiKey;
use ratel_protocol::schema::answers::read_answer;

use crate::world::{World, pause};

const TABLES: &[&str] = &[
    include_str!("tables/produce.txt"),
    include_str!("tables/fetch.txt"),
    include_str!("tables/log.txt"),
    include_str!("tables/groups.txt"),
    include_str!("tables/offsets.txt"),
    include_str!("tables/admin.txt"),
    include_str!("tables/configs.txt"),
    include_str!("tables/transactions.txt"),
    include_str!("tables/consumer.txt"),
    include_str!("tables/network.txt"),
];
/// Errors of a server that is still busy with what was before.
const BUSY: &[i16] = &[14, 15, 16];
const TRIES: u32 = 100;
/// An answer that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// All of them.
pub fn scripts() -> Result<Vec<Arc<Script>>, String> {
    let mut all = Vec::new();
    for (number, table) in TABLES.iter().enumerate() {
        let scripts = read(table).map_err(|why| format!("table {number}: {why}"))?;
        all.extend(scripts.into_iter().map(Arc::new));
    }
    Ok(all)
}

/// The APIs that a scenario asks for.
pub fn apis(script: &Script) -> Vec<ApiKey> {
    let of_lines = script.lines.iter().filter_map(|line| match line {
        Line::Request(request) => request.api.as_ref().map(|(name, _)| api(name)),
        Line::Other(words) => match words.as_slice() {
            [needs, name] if needs == "needs" => Some(api(name)),
            _ => None,
        },
    });
    of_lines.chain([api(&script.api)]).collect()
}

/// An API by its name.
fn api(name: &str) -> ApiKey {
    let mut keys = (0..200).filter_map(|key| ApiKey::try_from(key).ok());
    match keys.find(|key| format!("{key:?}") == name) {
        Some(key) => key,
        None => panic!("there is no API {name}"),
    }
}

fn newest(key: ApiKey) -> i16 {
    KafkaKey::try_from(key as i16).map_or(0, |key| key.valid_versions().max)
}

/// What is on its way: the API, the version, the number in the header.
type Owed = (ApiKey, i16, i32);

struct Connection {
    client: RawClient,
    owed: std::collections::VecDeque<Owed>,
    sent: i32,
}

struct Run<'a> {
    world: &'a mut World,
    script: &'a Script,
    version: i16,
    connections: BTreeMap<String, Connection>,
}

/// Run one.
pub async fn run(script: &Script, world: &mut World) {
    let version = world.version;
    let mut run = Run {
        world,
        script,
        version,
        connections: BTreeMap::new(),
    };
    for line in &script.lines {
        match line {
            Line::Other(words) => run.other(words).await,
            Line::Request(request) => run.request(request).await,
        }
    }
}

impl Run<'_> {
    async fn other(&mut self, words: &[String]) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["topic", name, partitions, configs @ ..] => {
                let partitions = partitions.parse().unwrap_or(1);
                let configs: Vec<(&str, &str)> = configs
                    .iter()
                    .filter_map(|config| config.split_once('='))
                    .collect();
                self.world
                    .make_table_topic(name, partitions, &configs)
                    .await;
            }
            ["produce", topic, partition, count] => {
                let (partition, count) = (partition.parse(), count.parse());
                let (partition, count) = (partition.unwrap_or(0), count.unwrap_or(1));
                self.world.produce(topic, partition, count).await;
            }
            ["needs", _] => {}
            ["wait", ms] => pause(ms.parse().unwrap_or(0)).await,
            ["client", connection, id] => {
                let connection = self.connection(connection).await;
                connection.client.client_id = Some((*id).to_owned().into());
            }
            ["close", connection] => {
                self.connections.remove(*connection);
            }
            ["send", step, connection, hex] => {
                let frame = unhex(hex);
                let connection = self.connection(connection).await;
                let sent = connection.client.send_bytes(&frame).await;
                let received = tokio::time::timeout(PATIENCE, connection.client.receive_frame());
                let shown = match (sent, received.await) {
                    (Ok(()), Ok(Ok(Some(bytes)))) => hex_of(&bytes),
                    (Ok(()), Err(_)) => "none".to_owned(),
                    _ => "closed".to_owned(),
                };
                self.world.note(step, Facts::one("answer", &shown));
            }
            other => panic!("{other:?} is no step"),
        }
    }

    async fn connection(&mut self, name: &str) -> &mut Connection {
        if !self.connections.contains_key(name) {
            let made = Connection {
                client: self.world.connect().await,
                owed: std::collections::VecDeque::new(),
                sent: 0,
            };
            self.connections.insert(name.to_owned(), made);
        }
        match self.connections.get_mut(name) {
            Some(connection) => connection,
            None => panic!("it was just made"),
        }
    }

    async fn request(&mut self, request: &Request) {
        for left in (0..TRIES).rev() {
            if request.way != Way::Receive {
                self.post(request).await;
            }
            if matches!(request.way, Way::Post | Way::Silent) {
                return;
            }
            let facts = self.receive(request).await;
            let codes = codes(&facts);
            let again = |code: &i16| BUSY.contains(code) || request.repeat.contains(code);
            if left == 0 || request.way != Way::Ask || !codes.iter().any(again) {
                self.take_down(request, facts, &codes);
                return;
            }
            pause(50).await;
        }
    }

    fn take_down(&mut self, request: &Request, mut facts: Facts, codes: &[i16]) {
        if let Some(expected) = &request.codes {
            let (mut expected, mut codes) = (expected.clone(), codes.to_vec());
            expected.retain(|code| *code != 0);
            expected.sort_unstable();
            codes.sort_unstable();
            codes.dedup();
            if codes != expected {
                let shown = format!("expected {expected:?}, answered {codes:?}");
                facts.0.insert("TABLE".to_owned(), shown);
            }
        }
        if request.step != "-" {
            self.world.note(&request.step, facts);
        }
    }

    async fn post(&mut self, request: &Request) {
        let (key, version) = match &request.api {
            Some((name, version)) => {
                let key = api(name);
                let own = if *name == self.script.api {
                    self.version
                } else {
                    newest(key)
                };
                (key, version.unwrap_or(own))
            }
            None => (api(&self.script.api), self.version),
        };
        let body = match wire::body(key, version, &request.fields, &*self.world) {
            Ok(body) => body,
            Err(why) => panic!("{}: {why}", request.step),
        };
        let connection = self.connection(&request.connection).await;
        connection.sent += 1;
        let header = RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(connection.sent)
            .with_client_id(connection.client.client_id.clone());
        let mut frame = BytesMut::new();
        if let Err(error) = header.encode(&mut frame, key.request_header_version(version)) {
            panic!("a header: {error}");
        }
        frame.extend_from_slice(&body);
        let number = connection.sent;
        if request.way != Way::Silent {
            connection.owed.push_back((key, version, number));
        }
        // A closed connection shows when the answer is read.
        let _ = connection.client.send_frame(&frame).await;
    }

    async fn receive(&mut self, request: &Request) -> Facts {
        let connection = self.connection(&request.connection).await;
        let Some((key, version, number)) = connection.owed.pop_front() else {
            panic!("no answer is owed");
        };
        let received = tokio::time::timeout(PATIENCE, connection.client.receive_frame());
        let frame = match received.await {
            Ok(Ok(Some(frame))) => frame,
            Err(_) => {
                self.connections.remove(&request.connection);
                return Facts::one("answer", "none");
            }
            Ok(_) => {
                self.connections.remove(&request.connection);
                return Facts::one("answer", "the connection is closed");
            }
        };
        match read_answer(key, version, number, frame) {
            Ok(answer) => {
                for (name, field) in &request.keep {
                    let value = Facts::value(&answer, field).unwrap_or_default();
                    self.world.keep(name, &value);
                }
                self.world.facts(&answer)
            }
            Err(why) => Facts::one("answer", &format!("is not read: {why}")),
        }
    }
}

/// The errors of an answer.
fn codes(facts: &Facts) -> Vec<i16> {
    let codes = facts.0.iter().filter_map(|(path, value)| {
        let is_code = path.ends_with("error_code");
        let number = value.split(' ').next()?.parse().ok()?;
        (is_code && number != 0).then_some(number)
    });
    codes.collect()
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|letter| letter.to_digit(16).and_then(|digit| digit.try_into().ok()))
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| (byte << 4) | digit))
        .collect()
}
