//! ListGroups (key 16), versions 0 to 5: all groups (O-9).
//!
//! Filters compare without regard to case; an empty filter takes all.
//! - v1: throttle time; v3: flexible; v4: filter by state, states in the answer
//! - v5: filter by type, types in the answer

use std::collections::HashSet;
use std::ops::RangeInclusive;

use ratel_protocol::messages::list_groups_response::ListedGroup;
use ratel_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use ratel_protocol::{ApiKey, StrBytes};

use super::groups::text;
use super::{Api, Context, Later};
use crate::coordinator::group::Listed;

pub struct ListGroups;

impl Api for ListGroups {
    type Request = ListGroupsRequest;
    const KEY: ApiKey = ApiKey::ListGroups;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(cx: Context, request: ListGroupsRequest) -> Later {
        Later::wait(async move {
            let response = ListGroupsResponse::default();
            let response = match cx.broker.groups.list().await {
                Err(error) => response.with_error_code(error.code()),
                Ok(groups) => {
                    let states = Filter::new(&request.states_filter);
                    let kinds = Filter::new(&request.types_filter);
                    let groups = groups.into_iter();
                    let groups =
                        groups.filter(|group| states.takes(group.state) && kinds.takes(group.kind));
                    response.with_groups(groups.map(|group| listed(&group)).collect())
                }
            };
            cx.answer(&downgrade(response, cx.version))
        })
    }
}

/// Names that are looked for, whatever their case.
struct Filter(HashSet<String>);

impl Filter {
    fn new(names: &[StrBytes]) -> Self {
        Self(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    fn takes(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.contains(&name.to_ascii_lowercase())
    }
}

fn listed(group: &Listed) -> ListedGroup {
    ListedGroup::default()
        .with_group_id(GroupId(text(&group.group)))
        .with_protocol_type(text(&group.protocol_type))
        .with_group_state(StrBytes::from_static_str(group.state))
        .with_group_type(StrBytes::from_static_str(group.kind))
}

/// Drop what `version` cannot carry.
fn downgrade(mut response: ListGroupsResponse, version: i16) -> ListGroupsResponse {
    for group in &mut response.groups {
        if version < 4 {
            group.group_state = StrBytes::default();
        }
        if version < 5 {
            group.group_type = StrBytes::default();
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::super::testing::round_trip;
    use super::*;

    #[test]
    fn a_full_response_encodes_at_every_version() {
        for version in ListGroups::VERSIONS {
            let group = Listed {
                group: "g".into(),
                protocol_type: "consumer".into(),
                state: "Stable",
                kind: "classic",
            };
            let response = ListGroupsResponse::default().with_groups(vec![listed(&group)]);
            let back = round_trip::<ListGroupsRequest>(version, &downgrade(response, version));
            assert_eq!(
                &*back.groups[0].group_state,
                if version >= 4 { "Stable" } else { "" }
            );
            assert_eq!(
                &*back.groups[0].group_type,
                if version >= 5 { "classic" } else { "" }
            );
        }
    }

    #[test]
    fn o_9_filters_do_not_look_at_case() {
        let filter = Filter::new(&[StrBytes::from_static_str("stABLE"), "Dead".into()]);
        assert!(filter.takes("Stable"));
        assert!(!filter.takes("Empty"));
        assert!(Filter::new(&[]).takes("Empty"));
    }
}
