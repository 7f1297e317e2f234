//! Subscriptions to clients' metrics as the catalog keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Action, CatalogMachine, above};
use crate::coordinator::Effects;
use crate::coordinator::catalog::alter::{self, Changes};
use crate::coordinator::catalog::client_metrics::{CLIENT_METRICS, SUBSCRIPTIONS_MAX};
use crate::coordinator::catalog::record::CatalogRecord;
use crate::error::Refusal;

impl CatalogMachine {
    pub(super) fn alter_subscription(
        &mut self,
        name: Arc<str>,
        changes: &Changes,
        validate_only: bool,
        out: &mut Effects<Self>,
    ) -> Result<(), Refusal> {
        let known = self.subscriptions.get(&name);
        if known.is_none() && self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(above("client metrics subscriptions", SUBSCRIPTIONS_MAX));
        }
        let before = known.cloned().unwrap_or_default();
        let configs = alter::own(&CLIENT_METRICS, &before, changes, &self.brokers)?;
        if !validate_only && configs != before {
            out.record(self, CatalogRecord::ClientMetrics { name, configs });
            out.act(Action::PublishSubscriptions(self.subscriptions.clone()));
        }
        Ok(())
    }

    pub(super) fn apply_subscription(
        &mut self,
        name: &Arc<str>,
        configs: &BTreeMap<String, String>,
    ) {
        let subscriptions = Arc::make_mut(&mut self.subscriptions);
        if configs.is_empty() {
            subscriptions.remove(name);
        } else {
            subscriptions.insert(name.clone(), configs.clone());
        }
    }

    /// Subscriptions as they are from now on, for a snapshot.
    pub(super) fn subscription_records(&self) -> impl Iterator<Item = CatalogRecord> {
        let subscriptions = self.subscriptions.iter();
        subscriptions.map(|(name, configs)| CatalogRecord::ClientMetrics {
            name: name.clone(),
            configs: configs.clone(),
        })
    }
}
