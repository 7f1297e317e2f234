//! Subscriptions by regular expression (H-7), in the syntax of RE2/J. An expression must match a
//! topic's whole name.
//!
//! The handler brings the topics of a new expression with the heartbeat, so the first answer has
//! an assignment. From then on each topic that comes or goes is held against the group's
//! expressions: the first at once, and those that follow on its heels together, a second later.
//! All topics are looked at anew now and then.

use std::sync::Arc;

use super::{Consumer, ConsumerHeartbeat, ConsumerRecord, Matches, Resolved};
use crate::clock::Timestamp;
use crate::coordinator::Effects;
use crate::coordinator::group::share::TopicNow;
use crate::coordinator::group::turn::Timer;
use crate::coordinator::group::{Action, GroupMachine, Kind};
pub use crate::coordinator::pattern::Pattern as Compiled;

/// Different expressions of one group: each is kept ready to match, and members of a group are
/// there to read the same.
pub(super) const PATTERNS_MAX: usize = 100;
/// After topics came or went for a group's expressions, further ones wait for so long, ms: many
/// that come one by one are not each worth a new list of all.
const CALM_MS: i64 = 1000;

/// Make an expression over topics ready, in the syntax of RE2/J; none if that does not take it, or
/// if it would take too much memory.
#[must_use]
pub fn compile(expression: &str) -> Option<Compiled> {
    Compiled::of_re2j(expression)
}

impl GroupMachine {
    /// A member brings another expression than before, or none.
    pub(super) fn consumer_regex(
        &mut self,
        now: Timestamp,
        event: &ConsumerHeartbeat,
        pattern: Option<Arc<str>>,
        out: &mut Effects<Self>,
    ) {
        let id = &event.group;
        self.consumer_forget_patterns(id, out);
        let Some(pattern) = pattern else {
            return;
        };
        let is_known = |one: &Consumer| one.resolved.contains_key(&pattern);
        if self.consumer(id).is_ok_and(is_known) {
            return;
        }
        let matches = event.matches.clone();
        if let Some((version, topics)) = matches {
            let resolved = Resolved {
                topics,
                version: i64::try_from(version).unwrap_or(i64::MAX),
                timestamp_ms: now.wall_ms,
            };
            let record = ConsumerRecord::Regex(pattern, Some(Arc::new(resolved)));
            self.consumer_record(id, record, out);
        }
        // What the handler saw may be old: nobody told of a change since.
        self.consumer_resolve(now, id, out);
    }

    /// Forget expressions that no member brings any more.
    pub(super) fn consumer_forget_patterns(&mut self, id: &Arc<str>, out: &mut Effects<Self>) {
        let Ok(consumer) = self.consumer_mut(id) else {
            return;
        };
        let patterns = &consumer.patterns;
        consumer
            .compiled
            .retain(|regex, _| patterns.contains_key(regex));
        let resolved = consumer.resolved.keys();
        let unused = resolved.filter(|regex| !patterns.contains_key(*regex));
        let unused: Vec<_> = unused.cloned().collect();
        for regex in unused {
            self.consumer_record(id, ConsumerRecord::Regex(regex, None), out);
        }
    }

    /// Have a group's expressions held against all topics.
    pub(in crate::coordinator::group) fn consumer_resolve(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        out: &mut Effects<Self>,
    ) {
        let interval_ms = self.limits.consumer.regex_refresh_interval_ms.max(1);
        let Ok(consumer) = self.consumer_mut(id) else {
            return;
        };
        if consumer.patterns.is_empty() {
            return self.timers.cancel(&Timer::Regex(id.clone()));
        }
        for regex in consumer.patterns.keys() {
            if !consumer.compiled.contains_key(regex)
                && let Some(compiled) = compile(regex)
            {
                consumer.compiled.insert(regex.clone(), compiled);
            }
        }
        consumer.round += 1;
        consumer.resolving = Some(false);
        let regexes = consumer.compiled.iter();
        out.act(Action::MatchTopics {
            group: id.clone(),
            round: consumer.round,
            regexes: regexes
                .map(|(name, one)| (name.clone(), one.clone()))
                .collect(),
        });
        let at_ms = now.monotonic_ms.saturating_add(interval_ms);
        self.timers.set(Timer::Regex(id.clone()), at_ms);
    }

    /// The topics of a group's expressions are known.
    pub(in crate::coordinator::group) fn consumer_matched(
        &mut self,
        now: Timestamp,
        event: Matches,
        out: &mut Effects<Self>,
    ) {
        let id = event.group.clone();
        let Ok(consumer) = self.consumer_mut(&id) else {
            return;
        };
        // What an earlier round saw may be older than what is known since.
        if event.round != consumer.round {
            return;
        }
        if consumer.resolving.take() == Some(true) {
            // A topic came or went meanwhile, and it may have been seen before or after that.
            if self.consumer_is_calm(now, &id) {
                self.consumer_resolve(now, &id, out);
            }
            return;
        }
        let mut changed = false;
        for (regex, topics) in event.matches {
            changed |= self.consumer_put_matches(now, &id, &regex, topics, event.version, out);
        }
        if changed {
            self.consumer_watch(&id, &event.found, out);
            self.consumer_refresh(&id, true, out);
        } else {
            self.topics_news(&event.found, None, out);
        }
    }

    /// Write down the topics of an expression, if they are others than before.
    fn consumer_put_matches(
        &mut self,
        now: Timestamp,
        id: &Arc<str>,
        regex: &Arc<str>,
        topics: Vec<Arc<str>>,
        version: u64,
        out: &mut Effects<Self>,
    ) -> bool {
        let Ok(consumer) = self.consumer(id) else {
            return false;
        };
        let before = consumer.resolved.get(regex);
        if !consumer.patterns.contains_key(regex)
            || before.is_some_and(|before| before.topics == topics)
        {
            return false;
        }
        let resolved = Resolved {
            topics,
            version: i64::try_from(version).unwrap_or(i64::MAX),
            timestamp_ms: now.wall_ms,
        };
        let record = ConsumerRecord::Regex(regex.clone(), Some(Arc::new(resolved)));
        self.consumer_record(id, record, out);
        true
    }

    /// Whether what expressions stand for may change at once; if not, all topics are looked at when
    /// it may.
    fn consumer_is_calm(&mut self, now: Timestamp, id: &Arc<str>) -> bool {
        let Ok(consumer) = self.consumer_mut(id) else {
            return false;
        };
        let until_ms = consumer.calm_until_ms;
        if now.monotonic_ms < until_ms {
            self.timers.set(Timer::Regex(id.clone()), until_ms);
            return false;
        }
        consumer.calm_until_ms = now.monotonic_ms.saturating_add(CALM_MS);
        true
    }

    /// Hold a topic that came, changed or went against the expressions of all groups.
    pub(in crate::coordinator::group) fn consumer_topic(
        &mut self,
        now: Timestamp,
        topic: &TopicNow,
        out: &mut Effects<Self>,
    ) {
        let groups = self.groups.iter_mut();
        let groups = groups.filter_map(|(id, group)| match &mut group.kind {
            Kind::Consumer(consumer) if !consumer.patterns.is_empty() => Some((id, consumer)),
            _ => None,
        });
        let mut stirred = Vec::new();
        for (id, consumer) in groups {
            if let Some(missed) = &mut consumer.resolving {
                *missed = true;
            }
            if consumer.changes_with(topic).next().is_some() {
                stirred.push(id.clone());
            }
        }
        for id in stirred {
            if !self.consumer_is_calm(now, &id) {
                continue;
            }
            let consumer = self.consumer(&id);
            let changes = consumer.map(|consumer| consumer.changes_with(topic).collect());
            let changes: Vec<_> = changes.unwrap_or_default();
            for (regex, topics) in changes {
                self.consumer_put_matches(now, &id, &regex, topics, topic.version, out);
            }
            self.consumer_watch(&id, std::slice::from_ref(topic), out);
            self.consumer_refresh(&id, true, out);
        }
    }
}

impl Consumer {
    /// The expressions that stand for other topics now that a topic is as it is, and for which.
    fn changes_with(&self, topic: &TopicNow) -> impl Iterator<Item = (Arc<str>, Vec<Arc<str>>)> {
        self.resolved.iter().filter_map(|(regex, resolved)| {
            let compiled = self.compiled.get(regex);
            let is_due =
                topic.topic.is_some() && compiled.is_some_and(|regex| regex.is_match(&topic.name));
            let there = resolved.topics.binary_search(&topic.name);
            if there.is_ok() == is_due {
                return None;
            }
            let mut topics = resolved.topics.clone();
            match there {
                Ok(place) => drop(topics.remove(place)),
                Err(place) => topics.insert(place, topic.name.clone()),
            }
            Some((regex.clone(), topics))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::compile;

    fn is_match(expression: &str, topic: &str) -> bool {
        compile(expression).is_some_and(|compiled| compiled.is_match(topic))
    }

    #[test]
    fn h_7_an_expression_must_match_the_whole_name() {
        assert!(is_match("t|ab", "ab") && !is_match("t|ab", "abc"));
        for whole in [
            "^ab$",
            "(?i)AB",
            r"\w{1,249}",
            r"[\w.-]{1,249}",
            r"\p{L}+",
            r"[^é]+",
        ] {
            assert!(is_match(whole, "ab"), "{whole}");
        }
        assert!(!is_match(r"\d+", "ab"));
        assert!(is_match(".*", "a-b_c.9") && !is_match(r"a\wb", "a-b"));
    }

    #[test]
    fn h_7_what_is_no_expression_or_too_large_is_none() {
        let nested = |depth| format!("{}a{}", "(".repeat(depth), ")*".repeat(depth));
        assert!(compile(&nested(80)).is_some() && compile(&nested(81)).is_none());
        for bad in ["(", "a)(b", "*", r"\p{Nonsense}", r"(?:\w{1,249}){1,249}"] {
            assert_eq!(compile(bad), None, "{bad}");
        }
        assert_eq!(compile(&"a".repeat(10_001)), None);
        assert!(compile(&"a".repeat(10_000)).is_some());
    }
}
