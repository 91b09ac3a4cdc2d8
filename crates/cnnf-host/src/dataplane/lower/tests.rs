use cnnf_core::net::Protocol;

use super::*;

#[test]
fn keys_lie_as_registers_do() {
    assert_eq!(port_key(6, 80), [6, 0, 0, 0, 0, 80, 0, 0]);
    let key = flow_key([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), 17, 0x1234, 53);
    assert_eq!(key, [10, 0, 0, 1, 10, 0, 0, 2, 17, 0, 0, 0, 0x12, 0x34, 0, 0, 0, 53, 0, 0]);
    let endpoints = Set::Endpoints(Family::V6, [("fd00::1".parse().expect("address"), Protocol::Udp, 53)].into());
    let endpoints: Vec<Element> = elements(&endpoints).collect();
    assert_eq!(endpoints[0].key[16..], [17, 0, 0, 0, 0, 53, 0, 0]);
    assert_eq!(u32::try_from(flow_key([0; 4].into(), [0; 4].into(), 0, 0, 0).len()), Ok(flow_layout(Family::V4).len()));
}

#[test]
fn a_range_is_two_elements() {
    let set = Set::Addresses(Family::V4, vec!["10.0.0.0/8".parse().expect("range")]);
    let elements: Vec<Element> = elements(&set).collect();
    assert_eq!((elements[0].key.as_slice(), elements[1].key.as_slice()), (&[10, 0, 0, 0][..], &[11, 0, 0, 0][..]));
    assert!(elements[1].interval_end);
}
