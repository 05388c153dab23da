//! Which partition a key belongs to: murmur2 as Kafka's Java clients do, so that any client agrees with us.

/// The partition of `key` among `partitions` (at least 1).
pub fn partition_of(key: &[u8], partitions: u32) -> i32 {
    // Java's Utils.toPositive; the result is below `partitions`, which Kafka keeps in an i32
    ((murmur2(key) & 0x7fff_ffff) % partitions.max(1)) as i32
}

/// org.apache.kafka.common.utils.Utils.murmur2, as unsigned.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        // chunks_exact yields four bytes each
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_java_client() {
        // org.apache.kafka.common.utils.UtilsTest.testMurmur2
        let cases: [(&[u8], i32); 7] = [
            (b"21", -973932308),
            (b"foobar", -790332482),
            (b"a-little-bit-long-string", -985981536),
            (b"a-little-bit-longer-string", -1486304829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            (b"abc", 479470107),
            (b"", 275646681),
        ];
        for (key, expected) in cases {
            assert_eq!(murmur2(key) as i32, expected, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn a_partition_is_always_one_of_those_that_are_there() {
        assert_eq!(partition_of(b"21", 6), ((-973932308i32) & 0x7fff_ffff) % 6);
        assert_eq!(partition_of(b"anything", 1), 0);
        for n in 0..1000u32 {
            assert!((0..7).contains(&partition_of(&n.to_le_bytes(), 7)));
        }
    }
}
