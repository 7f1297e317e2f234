//! Quotas of clients as the catalog keeps them.

use std::collections::HashMap;
use std::sync::Arc;

use ratel_protocol::ErrorCode;

use super::{Action, CatalogMachine};
use crate::coordinator::Effects;
use crate::coordinator::catalog::client_quota::QuotaChange;
use crate::coordinator::catalog::record::CatalogRecord;
use crate::error::Refusal;

impl CatalogMachine {
    /// Change quotas, or only say what would come of it. Whoever stands in the request twice is
    /// changed by neither.
    pub(super) fn alter_quotas(
        &mut self,
        changes: &[QuotaChange],
        validate_only: bool,
        out: &mut Effects<Self>,
    ) -> Vec<Result<(), Refusal>> {
        let mut counts = HashMap::new();
        for change in changes {
            *counts.entry(&change.owner).or_insert(0) += 1;
        }
        let mut altered = false;
        let outcomes = changes.iter().map(|change| {
            if counts.get(&change.owner) != Some(&1) {
                let message = "The owner of quotas stands in the request more than once.";
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
            let (owner, limits) = self.quotas.changed(change)?;
            let before = self.quotas.of(&owner);
            let same = before.map_or(limits.is_empty(), |before| *before == limits);
            if !validate_only && !same {
                out.record(self, CatalogRecord::Quotas { owner, limits });
                altered = true;
            }
            Ok(())
        });
        let outcomes = outcomes.collect();
        if altered {
            out.act(Action::PublishQuotas(self.quotas.clone()));
        }
        outcomes
    }

    /// Quotas as they are from now on, for a snapshot.
    pub(super) fn quota_records(&self) -> impl Iterator<Item = CatalogRecord> {
        self.quotas
            .owners()
            .map(|(owner, limits)| CatalogRecord::Quotas {
                owner: owner.clone(),
                limits: limits.clone(),
            })
    }

    pub(super) fn apply_quotas(&mut self, record: &CatalogRecord) {
        if let CatalogRecord::Quotas { owner, limits } = record {
            Arc::make_mut(&mut self.quotas).put(owner, limits);
        }
    }
}
