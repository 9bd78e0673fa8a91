//! Random identifiers, from the operating system's generator.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides random bytes");
    bytes
}

/// `N` random bytes in the alphabet of base64url without padding (RFC 4648 §5).
pub(crate) fn base64url<const N: usize>() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes::<N>())
}

/// A random UUID (version 4, RFC 9562 §5.4).
pub(crate) fn uuid() -> String {
    let mut id = u128::from_be_bytes(bytes());
    id = id & !(0xf << 76) | 0x4 << 76;
    id = id & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{id:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_carries_its_version_and_variant() {
        let id = uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]));
        assert_ne!(id, uuid());
    }
}
