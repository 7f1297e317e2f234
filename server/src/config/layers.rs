//! From files, environment and flags to one [`Config`]: flags > environment > file > defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::{Config, Key, Meaning, Source, key, keys, listener, properties, shown};

/// One value that somebody gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The key as it was written.
    pub name: String,
    /// The value as text.
    pub value: String,
    /// Where it stands, for messages: `server.properties:12`, `KAFKA_LOG_DIRS`, `--set`.
    pub place: String,
}

/// All values of one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The origin.
    pub source: Source,
    /// Its values; of two for one key the later one counts.
    pub assignments: Vec<Assignment>,
}

/// Why a configuration cannot be used: one sentence that names the value, what would be allowed
/// and the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// A configuration, and what its owner should know about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Sentences for the log.
    pub warnings: Vec<String>,
}

impl Layer {
    /// The values of a file's text: TOML if its name ends in `.toml`, else Java properties.
    ///
    /// # Errors
    /// A text that does not parse, with the line.
    pub fn from_file(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let name = path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into(),
        );
        let assignments = if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            from_toml(&name, text)?
        } else {
            properties::parse(text)
                .map_err(|(line, why)| ConfigError(format!("{name}:{line}: {why}")))?
                .into_iter()
                .map(|property| Assignment {
                    name: property.key,
                    value: property.value,
                    place: format!("{name}:{}", property.line),
                })
                .collect()
        };
        Ok(Self {
            source: Source::File,
            assignments,
        })
    }

    /// The values of environment variables `RATEL_*` and, below them, `KAFKA_*`. In a name `_`
    /// stands for `.`, `__` for `_` and `___` for `-`, as in the images of others.
    #[must_use]
    pub fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut assignments = [Vec::new(), Vec::new()];
        for (variable, value) in variables {
            let (strength, rest) = if let Some(rest) = variable.strip_prefix("RATEL_") {
                (1, rest)
            } else if let Some(rest) = variable.strip_prefix("KAFKA_") {
                (0, rest)
            } else {
                continue;
            };
            let name = match (strength, rest) {
                (1, "CONFIG" | "BIN" | "SERVER") => continue,
                (1, "LOG") => "log.level".to_owned(),
                _ => key_of_variable(rest),
            };
            assignments[strength].push(Assignment {
                name,
                value,
                place: variable,
            });
        }
        for layer in &mut assignments {
            layer.sort_by(|a, b| a.place.cmp(&b.place));
        }
        Self {
            source: Source::Environment,
            assignments: assignments.concat(),
        }
    }

    /// The values of `key=value` flags.
    ///
    /// # Errors
    /// One without `=`.
    pub fn from_flags(flags: &[String]) -> Result<Self, ConfigError> {
        let assignments = flags
            .iter()
            .map(|flag| {
                let (name, value) = flag.split_once('=').ok_or_else(|| {
                    ConfigError(format!(
                        "--set {flag} has no `=`; give it as --set key=value"
                    ))
                })?;
                Ok(Assignment {
                    name: name.trim().to_owned(),
                    value: value.to_owned(),
                    place: "--set".to_owned(),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            source: Source::Flag,
            assignments,
        })
    }
}

fn key_of_variable(rest: &str) -> String {
    rest.to_ascii_lowercase()
        .replace("___", "-")
        .replace("__", "\0")
        .replace('_', ".")
        .replace('\0', "_")
}

fn from_toml(file: &str, text: &str) -> Result<Vec<Assignment>, ConfigError> {
    let table: toml::Table = text
        .parse()
        .map_err(|error| ConfigError(format!("{file} is not TOML: {error}")))?;
    let mut assignments = Vec::new();
    flatten(file, "", &table, &mut assignments)?;
    Ok(assignments)
}

/// Tables become dots: `[log] dirs = "x"` is `log.dirs`, and so is `log_dirs` at the top.
fn flatten(
    file: &str,
    prefix: &str,
    table: &toml::Table,
    out: &mut Vec<Assignment>,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let name = format!("{prefix}{}", name.replace('_', "."));
        let value = match value {
            toml::Value::Table(table) => {
                flatten(file, &format!("{name}."), table, out)?;
                continue;
            }
            toml::Value::Array(parts) => parts
                .iter()
                .map(|part| scalar(file, &name, part))
                .collect::<Result<Vec<_>, _>>()?
                .join(","),
            value => scalar(file, &name, value)?,
        };
        out.push(Assignment {
            name,
            value,
            place: file.to_owned(),
        });
    }
    Ok(())
}

fn scalar(file: &str, name: &str, value: &toml::Value) -> Result<String, ConfigError> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        other => Err(ConfigError(format!(
            "{name} ({file}) is a {}; give text, a number, true or false, or a list of them",
            other.type_str()
        ))),
    }
}

/// Keys whose numbers are in this order, and whether they may be equal.
const IN_ORDER: &[(&str, &str, bool)] = &[
    (
        "group.min.session.timeout.ms",
        "group.max.session.timeout.ms",
        true,
    ),
    (
        "group.consumer.min.session.timeout.ms",
        "group.consumer.session.timeout.ms",
        true,
    ),
    (
        "group.consumer.session.timeout.ms",
        "group.consumer.max.session.timeout.ms",
        true,
    ),
    (
        "group.consumer.min.heartbeat.interval.ms",
        "group.consumer.heartbeat.interval.ms",
        true,
    ),
    (
        "group.consumer.heartbeat.interval.ms",
        "group.consumer.max.heartbeat.interval.ms",
        true,
    ),
    (
        "group.consumer.heartbeat.interval.ms",
        "group.consumer.session.timeout.ms",
        false,
    ),
];

/// The configuration of these layers, weakest first.
///
/// # Errors
/// The first value that cannot be used, or a key in a file or flag that nobody knows.
pub fn load(layers: &[Layer]) -> Result<Loaded, ConfigError> {
    let mut reading = Reading::default();
    for layer in layers {
        reading.layer(layer)?;
    }
    reading.finish()
}

#[derive(Default)]
struct Reading {
    config: Config,
    places: BTreeMap<&'static str, String>,
    /// Keys of Kafka that change nothing here.
    without_meaning: Vec<String>,
    /// Environment variables that name no key.
    unknown_variables: Vec<String>,
}

impl Reading {
    fn layer(&mut self, layer: &Layer) -> Result<(), ConfigError> {
        // A key's own name counts over its other names, whichever stands first.
        let (own, other): (Vec<_>, Vec<_>) = layer
            .assignments
            .iter()
            .partition(|assignment| keys().any(|key| key.name == assignment.name));
        for assignment in other.into_iter().chain(own) {
            self.assign(layer.source, assignment)?;
        }
        Ok(())
    }

    fn assign(&mut self, source: Source, assignment: &Assignment) -> Result<(), ConfigError> {
        let name = assignment.name.as_str();
        if let Some(why) = shown::refusal(name) {
            return Err(refused(assignment, why));
        }
        let Some(key) = key(name) else {
            return self.unknown(source, assignment);
        };
        if key.meaning == Meaning::Shown {
            self.without_meaning.push(name.to_owned());
        }
        key.write(&mut self.config, &assignment.value)
            .map_err(|why| refused(assignment, &why))?;
        self.config.sources.insert(key.name, source);
        self.places.insert(key.name, assignment.place.clone());
        Ok(())
    }

    fn unknown(&mut self, source: Source, assignment: &Assignment) -> Result<(), ConfigError> {
        if source == Source::Environment {
            if shown::is_ignored(&assignment.name) {
                self.without_meaning.push(assignment.name.clone());
            } else {
                self.unknown_variables.push(assignment.place.clone());
            }
            return Ok(());
        }
        if shown::is_ignored(&assignment.name) {
            self.without_meaning.push(assignment.name.clone());
            return Ok(());
        }
        let hint = nearest(&assignment.name).map_or_else(
            || "`ratel config keys` lists all".to_owned(),
            |key| format!("did you mean {}?", key.name),
        );
        Err(ConfigError(format!(
            "there is no key {} ({}); {hint}",
            assignment.name, assignment.place
        )))
    }

    fn finish(mut self) -> Result<Loaded, ConfigError> {
        let given = self.config.value("listeners").unwrap_or_default();
        let advertised = self.config.advertised_listeners.clone().unwrap_or_default();
        listener::resolve(&mut self.config).map_err(|(name, why)| {
            let value = if name == "listeners" {
                given
            } else {
                advertised
            };
            self.refused_here(name, &value, &why)
        })?;
        self.check_order()?;
        let mut warnings = Vec::new();
        if !self.without_meaning.is_empty() {
            warnings.push(format!(
                "these keys of Kafka change nothing here and were ignored: {}",
                sorted(self.without_meaning)
            ));
        }
        if !self.unknown_variables.is_empty() {
            warnings.push(format!(
                "these environment variables name no key and were ignored: {}",
                sorted(self.unknown_variables)
            ));
        }
        Ok(Loaded {
            config: self.config,
            warnings,
        })
    }

    /// Numbers that only make sense beside each other.
    fn check_order(&self) -> Result<(), ConfigError> {
        let number = |name: &str| self.config.value(name).and_then(|text| text.parse().ok());
        for (less, more, may_be_equal) in IN_ORDER {
            let (low, high): (Option<i64>, Option<i64>) = (number(less), number(more));
            let (Some(low), Some(high)) = (low, high) else {
                continue;
            };
            let is_wrong = low > high || low == high && !may_be_equal;
            if is_wrong {
                let than = if *may_be_equal { "above" } else { "not below" };
                let why = format!("is {than} {more}={high}; lower it or raise that");
                return Err(self.refused_here(less, &low.to_string(), &why));
            }
        }
        Ok(())
    }

    fn refused_here(&self, name: &str, value: &str, why: &str) -> ConfigError {
        refused(
            &Assignment {
                name: name.to_owned(),
                value: value.to_owned(),
                place: self
                    .places
                    .get(name)
                    .cloned()
                    .unwrap_or_else(|| "default".to_owned()),
            },
            why,
        )
    }
}

fn refused(assignment: &Assignment, why: &str) -> ConfigError {
    ConfigError(format!(
        "{}={} ({}) {why}",
        assignment.name, assignment.value, assignment.place
    ))
}

fn sorted(mut names: Vec<String>) -> String {
    names.sort();
    names.dedup();
    names.join(", ")
}

/// The known key whose name is nearest to `name`, if one is near enough to be meant.
fn nearest(name: &str) -> Option<&'static Key> {
    keys()
        .map(|key| (distance(name, key.name), key))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, key)| *distance <= (key.name.len() / 3).max(2))
        .map(|(_, key)| key)
}

/// How many letters must be changed, added or removed to make one word the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let changed = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
