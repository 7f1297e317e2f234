//! The broker. Data flows one way: `net -> api -> (catalog | coordinator | engine)`, and the
//! answer is a return value.

pub mod advertised;
pub mod api;
pub mod batch_time;
pub mod broker;
pub mod catalog;
pub mod cli;
pub mod client_quotas;
pub mod clock;
pub mod config;
pub mod config_resource;
pub mod coordinator;
pub mod dead_letters;
pub mod disk_space;
pub mod error;
pub mod fetch_sessions;
pub mod groups;
pub mod http;
pub mod loggers;
pub mod long_poll;
pub mod metrics;
pub mod net;
pub mod producer_ids;
pub mod queue_stats;
pub mod quota;
pub mod redrive;
pub mod share_sessions;
pub mod shares;
pub mod start;
pub mod transactions;
