//! How much of itself the server logs: the levels of its loggers, which may be altered while it
//! runs.
//!
//! A logger is a module of the code. One without a level of its own has that
//! of the module around it, and at last that of `root`. Levels go by Kafka's names: FATAL is
//! silence, as nothing here is logged above ERROR. What is altered lasts until the server stops, as
//! in Kafka; `log.level` says how it begins.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ratel_protocol::ErrorCode;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use crate::config::Kind;
use crate::coordinator::catalog::alter::{self, Changes, Op};
use crate::coordinator::catalog::broker_config::{Shown, Source};
use crate::error::{Refusal, cut};

/// The logger that all others are below.
const ROOT: &str = "root";
/// The modules that log something, and what they are in. With dots, as Kafka's tools take no
/// colons.
const MODULES: &[&str] = &[
    "ratel_server",
    "ratel_server.catalog",
    "ratel_server.cli",
    "ratel_server.coordinator",
    "ratel_server.dead_letters",
    "ratel_server.groups",
    "ratel_server.http",
    "ratel_server.net",
    "ratel_server.redrive",
    "ratel_server.shares",
    "ratel_server.start",
    "ratel_server.transactions",
    "ratel_storage",
    "ratel_storage.local",
];
const LEVELS: [(&str, LevelFilter); 6] = [
    ("FATAL", LevelFilter::OFF),
    ("ERROR", LevelFilter::ERROR),
    ("WARN", LevelFilter::WARN),
    ("INFO", LevelFilter::INFO),
    ("DEBUG", LevelFilter::DEBUG),
    ("TRACE", LevelFilter::TRACE),
];

/// The levels that were set.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Levels {
    root: LevelFilter,
    own: BTreeMap<String, LevelFilter>,
}

impl Levels {
    /// What `log.level` says: a level, and levels of modules, with commas between them.
    fn parse(text: &str) -> Option<Self> {
        let mut levels = Self {
            root: LevelFilter::OFF,
            own: BTreeMap::new(),
        };
        for directive in text.split(',').map(str::trim) {
            match directive.split_once('=') {
                None => levels.root = parse_level(directive)?,
                Some(("", _)) => return None,
                Some((module, level)) => {
                    levels.own.insert(module.to_owned(), parse_level(level)?);
                }
            }
        }
        Some(levels)
    }

    fn targets(&self) -> Targets {
        let own = self.own.iter().map(|(module, level)| (&**module, *level));
        Targets::new().with_default(self.root).with_targets(own)
    }

    /// The level of a logger, its own or that of what it is in.
    fn level(&self, logger: &str) -> LevelFilter {
        if logger == ROOT {
            return self.root;
        }
        let module = module(logger);
        let targets = self.targets();
        let mut levels = LEVELS.iter().rev().map(|(_, level)| *level);
        let lets_through = |level: &LevelFilter| {
            let level = level.into_level();
            level.is_some_and(|level| targets.would_enable(&module, &level))
        };
        levels.find(lets_through).unwrap_or(LevelFilter::OFF)
    }

    fn change(&mut self, logger: &str, op: Op, level: &str) -> Result<(), Refusal> {
        if !matches!(op, Op::Set | Op::Delete) {
            return Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "The level of a logger is no list: nothing is added or taken.",
            ));
        }
        if logger != ROOT && !MODULES.contains(&logger) {
            let message = format!("There is no logger {}.", cut(logger));
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        }
        if op == Op::Set {
            let named = LEVELS.iter().find(|(name, _)| *name == level);
            let Some((_, level)) = named else {
                let names = LEVELS.map(|(name, _)| name).join(", ");
                let message = format!("The level of {logger} must be one of {names}.");
                return Err(Refusal::new(ErrorCode::InvalidConfig, message));
            };
            match logger {
                ROOT => self.root = *level,
                _ => drop(self.own.insert(module(logger), *level)),
            }
        } else if logger == ROOT {
            return Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "The root logger has a level, which can be set and not be taken away.",
            ));
        } else {
            self.own.remove(&module(logger));
        }
        Ok(())
    }
}

/// The path of the module that a logger is for.
fn module(logger: &str) -> String {
    logger.replace('.', "::")
}

/// A level as it is written in `log.level`.
fn parse_level(text: &str) -> Option<LevelFilter> {
    let names = ["off", "error", "warn", "info", "debug", "trace"];
    let is = |name: &&str| name.eq_ignore_ascii_case(text);
    let at = names.iter().position(is)?;
    Some(LEVELS[at].1)
}

type Apply = Box<dyn Fn(Targets) + Send + Sync>;

/// The server's loggers.
pub struct Loggers {
    levels: Mutex<Levels>,
    apply: Apply,
}

impl Default for Loggers {
    fn default() -> Self {
        Self {
            levels: Mutex::new(Levels {
                root: LevelFilter::INFO,
                own: BTreeMap::new(),
            }),
            apply: Box::new(|_| {}),
        }
    }
}

impl Loggers {
    /// Loggers of the levels that `log.level` says, whose changes go nowhere; what they let
    /// through. `None` if it says nothing that makes sense.
    #[must_use]
    pub fn parse(text: &str) -> Option<(Self, Targets)> {
        let levels = Levels::parse(text)?;
        let targets = levels.targets();
        let loggers = Self {
            levels: Mutex::new(levels),
            apply: Box::new(|_| {}),
        };
        Some((loggers, targets))
    }

    /// The same, with changes passed on to whoever lets log lines through.
    #[must_use]
    pub fn with_changes(self, apply: impl Fn(Targets) + Send + Sync + 'static) -> Self {
        Self {
            apply: Box::new(apply),
            ..self
        }
    }

    /// Every logger, as DescribeConfigs shows it.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let names = MODULES.iter().copied().chain([ROOT]);
        let shown = names.map(|name| {
            let level = levels.level(name);
            let named = LEVELS.iter().find(|(_, named)| *named == level);
            Shown {
                name,
                value: named.map(|(name, _)| (*name).to_owned()),
                source: Source::Logger,
                kind: Kind::String,
                read_only: false,
                sensitive: false,
                synonyms: Vec::new(),
                doc: "How much this part of the server logs.",
            }
        });
        shown.collect()
    }

    /// Give loggers other levels, or only say what would come of it: all, or none.
    ///
    /// # Errors
    /// INVALID_CONFIG for a logger or level that there is not; INVALID_REQUEST for anything but
    /// to set a level or to take one away, and for a whole configuration.
    pub fn alter(&self, changes: &Changes, validate_only: bool) -> Result<(), Refusal> {
        let Changes::Each(each) = changes else {
            return Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "The levels of loggers are altered by IncrementalAlterConfigs.",
            ));
        };
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = levels.clone();
        for (logger, op, level) in alter::whole(each)? {
            changed.change(logger, op, level)?;
        }
        if !validate_only && changed != *levels {
            (self.apply)(changed.targets());
            *levels = changed;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
