//! A group machine on a bench: time moves by hand, every effect is seen.

mod bench;
mod catalog;
mod commits;
mod consumer;
mod consumer_large;
mod consumer_random;
mod joins;
mod mixed;
mod mixed_random;
mod random;
mod restarts;
mod rules;
mod share;
mod share_random;
mod static_members;
mod syncs;
mod transactions;
mod transactions_random;
mod upkeep;
