//! A gauge for each client that is held to a quota: bounded, whatever clients call themselves.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;

use super::Window;
use crate::coordinator::catalog::client_quota::{Owner, Quota};

/// Gauges that are kept at most, besides one of each quota: above it, clients of which nothing was
/// heard lately and that have a quota by default are held to it together.
pub(super) const GAUGES_MAX: usize = 100_000;
/// How often gauges that are not needed any more are looked for at most.
const SWEEP_MS: i64 = 1000;

/// Something that measures a client.
pub trait Gauge: Default + Send {
    /// Whether it says the same as a new one.
    fn is_idle(&self, window: Window, now_ms: i64) -> bool;
}

/// Gauges by quota and client.
#[derive(Debug)]
pub struct Gauges<G> {
    window: Window,
    by_client: DashMap<(Quota, Owner), Mutex<G>>,
    /// When idle ones were looked for, monotonic ms.
    swept_ms: AtomicI64,
}

impl<G: Gauge> Gauges<G> {
    pub fn new(window: Window) -> Self {
        Self {
            window,
            by_client: DashMap::new(),
            swept_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// Use the gauge of a client, or if there are too many the one of all whose quota is that of
    /// `owner`.
    pub fn with<R>(
        &self,
        quota: Quota,
        client: Owner,
        owner: &Owner,
        now_ms: i64,
        read: impl FnOnce(&mut G, Window) -> R,
    ) -> R {
        let mut key = (quota, client);
        if self.by_client.len() >= GAUGES_MAX
            && !self.by_client.contains_key(&key)
            && !self.make_room(now_ms)
        {
            key.1 = owner.clone();
        }
        let gauge = self.by_client.entry(key).or_default();
        let mut gauge = gauge.lock().unwrap_or_else(PoisonError::into_inner);
        read(&mut gauge, self.window)
    }

    /// Forget the gauges of clients of which nothing was heard lately, at most once a second: it
    /// walks over all. Gives whether there is room for another.
    fn make_room(&self, now_ms: i64) -> bool {
        let swept_ms = self.swept_ms.load(Ordering::Relaxed);
        let is_due = now_ms.saturating_sub(swept_ms) >= SWEEP_MS;
        let order = Ordering::Relaxed;
        if is_due
            && self
                .swept_ms
                .compare_exchange(swept_ms, now_ms, order, order)
                .is_ok()
        {
            self.by_client.retain(|_, gauge| {
                let gauge = gauge.get_mut();
                gauge.is_ok_and(|gauge| !gauge.is_idle(self.window, now_ms))
            });
        }
        self.by_client.len() < GAUGES_MAX
    }

    #[cfg(test)]
    pub fn clients(&self) -> Vec<Owner> {
        let gauges = self.by_client.iter();
        gauges.map(|gauge| gauge.key().1.clone()).collect()
    }
}
