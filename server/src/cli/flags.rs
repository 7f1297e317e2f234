//! The flags of every command that needs a configuration, and how they become one.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;
use crate::config::{Assignment, Layer, Loaded, Source, load};

/// Where the configuration comes from. A flag counts over the environment, that over the file.
#[derive(Debug, Args)]
pub(super) struct ConfigFlags {
    /// A file of `key=value` lines (Java properties, such as Kafka's server.properties), or TOML
    /// if its name ends in .toml
    #[arg(long, short, value_name = "FILE", env = "RATEL_CONFIG")]
    config: Option<PathBuf>,
    /// Set any key; may be given often. `ratel config keys` lists all
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The data directory [key: log.dirs]
    #[arg(long, value_name = "DIR")]
    log_dir: Option<String>,
    /// Where to listen, as NAME://host:port [key: listeners]
    #[arg(long, value_name = "LIST")]
    listeners: Option<String>,
    /// What clients are told to connect to [key: advertised.listeners]
    #[arg(long, value_name = "LIST")]
    advertised_listeners: Option<String>,
    /// Where metrics and health answer, or off [key: http.listen]
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<String>,
    /// The server's number [key: node.id]
    #[arg(long, value_name = "NUMBER")]
    node_id: Option<String>,
    /// What acks=all waits for: contract or relaxed [key: durability]
    #[arg(long, value_name = "POLICY")]
    durability: Option<String>,
    /// How much is logged [key: log.level]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How log lines look: auto, text or json [key: log.format]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl ConfigFlags {
    /// The configuration of file, environment and flags, over `base`.
    pub(super) fn load(&self, base: Option<Layer>) -> Result<Loaded, Failure> {
        let mut layers: Vec<_> = base.into_iter().collect();
        if let Some(path) = &self.config {
            layers.push(read_file(path)?);
        }
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        layers.push(Layer::from_environment(variables));
        layers.push(Layer::from_flags(&self.set).map_err(Failure::unusable)?);
        layers.push(self.named());
        load(&layers).map_err(Failure::unusable)
    }

    fn named(&self) -> Layer {
        let named = [
            ("log.dirs", "--log-dir", &self.log_dir),
            ("listeners", "--listeners", &self.listeners),
            (
                "advertised.listeners",
                "--advertised-listeners",
                &self.advertised_listeners,
            ),
            ("http.listen", "--http-listen", &self.http_listen),
            ("node.id", "--node-id", &self.node_id),
            ("durability", "--durability", &self.durability),
            ("log.level", "--log-level", &self.log_level),
            ("log.format", "--log-format", &self.log_format),
        ];
        let assignments = named
            .into_iter()
            .filter_map(|(name, flag, value)| {
                Some(Assignment {
                    name: name.to_owned(),
                    value: value.clone()?,
                    place: flag.to_owned(),
                })
            })
            .collect();
        Layer {
            source: Source::Flag,
            assignments,
        }
    }
}

fn read_file(path: &Path) -> Result<Layer, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::unusable(format!(
            "cannot read the configuration file {}: {error}",
            path.display()
        ))
    })?;
    Layer::from_file(path, &text).map_err(Failure::unusable)
}
