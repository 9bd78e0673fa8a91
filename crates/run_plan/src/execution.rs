//! The ID of a start. With it, a run whose start was not confirmed can be found.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

/// A UUID of version 7 (RFC 9562 §5.7): 48 bits of time, and 74 random ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExecutionId(u128);

impl ExecutionId {
    /// A new one, made at this time: in seconds since 1970.
    pub(crate) fn of(seconds: u64) -> Self {
        // The key of a hasher is random, and the standard library has nothing else that is.
        let random = || u128::from(RandomState::new().hash_one(0));
        let (version, variant) = (0x7 << 76, 0b10 << 62);
        Self(
            (u128::from(seconds) * 1000) << 80
                | version
                | random() >> 52 << 64
                | variant
                | random() >> 2,
        )
    }

    /// When it was made, in seconds since 1970.
    pub(crate) fn seconds(self) -> u64 {
        (self.0 >> 80) as u64 / 1000
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        f.write_str(&[&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
    }
}

impl FromStr for ExecutionId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_uuid = text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
            && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        let id = is_uuid.then(|| u128::from_str_radix(&text.replace('-', ""), 16).ok()).flatten();
        // Others do not say when they were made.
        let id = id.filter(|id| (id >> 76 & 0xf, id >> 62 & 0b11) == (7, 0b10));
        id.map(Self).ok_or("a UUID of version 7 is needed, as run_plan has printed it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_time_and_is_read_again() {
        for seconds in [0, 1_645_557_742, 281_474_976_710] {
            let id = ExecutionId::of(seconds);
            assert_eq!((id.seconds(), id.to_string().parse()), (seconds, Ok(id)));
            assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
            assert_ne!(id, ExecutionId::of(seconds));
        }
        // The example of RFC 9562, appendix A.6.
        let example = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f".parse::<ExecutionId>().unwrap();
        assert_eq!(example.seconds(), 1_645_557_742);
    }

    #[test]
    fn what_is_no_such_id_is_refused() {
        for text in [
            "",
            "701",
            "017f22e279b07cc398c4dc0c0c07398f",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
            "+17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
            "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
            "ébcdef-79b0-7cc3-98c4-dc0c0c07398f",
            "919108f7-52d1-4320-9bac-f847db4148a8",
            "00000000-0000-0000-0000-000000000000",
            "017f22e2-79b0-7cc3-48c4-dc0c0c07398f",
        ] {
            assert!(text.parse::<ExecutionId>().is_err(), "{text}");
        }
    }
}
