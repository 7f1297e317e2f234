//! From a group's or producer's name to its shard, by Kafka's own rule, so that tools find it
//! where they look.

/// Which of `partitions` an id belongs to: the id's Java `String.hashCode`, its sign bit cleared,
/// modulo the number of partitions.
///
/// # Panics
/// If there are no partitions.
#[must_use]
pub fn shard_of(id: &str, partitions: i32) -> i32 {
    shard_of_hash(java_hash(id), partitions)
}

/// [`shard_of`] for an id of which the hash is known.
///
/// # Panics
/// If there are no partitions.
#[must_use]
pub fn shard_of_hash(hash: i32, partitions: i32) -> i32 {
    assert!(partitions > 0, "a topic has at least one partition");
    (hash & i32::MAX) % partitions
}

/// Java's `String.hashCode`: over UTF-16 code units, with wrap-around.
#[must_use]
pub fn java_hash(text: &str) -> i32 {
    java_hash_on(0, text.encode_utf16())
}

/// The hash of a text that begins with one whose hash is known, and goes on with these units.
#[must_use]
pub fn java_hash_on(hash: i32, units: impl Iterator<Item = u16>) -> i32 {
    units.fold(hash, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        // From Java: "".hashCode(), "a", "hello", a string whose hash is Integer.MIN_VALUE,
        // and one outside the basic plane.
        let cases = [
            ("", 0),
            ("a", 97),
            ("hello", 99_162_322),
            ("polygenelubricants", i32::MIN),
            ("\u{1F600}", 1_772_899),
        ];
        for (text, hash) in cases {
            assert_eq!(java_hash(text), hash, "{text:?}");
        }
    }

    #[test]
    fn a_negative_hash_still_names_a_shard() {
        assert_eq!(shard_of("polygenelubricants", 50), 0);
        assert_eq!(shard_of("hello", 50), 22);
        assert_eq!(shard_of("hello", 1), 0);
    }
}
