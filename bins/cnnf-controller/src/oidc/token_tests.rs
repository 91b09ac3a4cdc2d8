use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::json;

use super::*;

const EXPECTED: Expected<'static> = Expected { issuer: "https://id.example", client_id: "cnnf", nonce: "n1" };

/// A provider's key pair.
struct Pair {
    private: EncodingKey,
    public: Jwk,
}

fn pair(kid: &str) -> Pair {
    let key = rcgen::KeyPair::generate().expect("a key of P-256");
    let private = EncodingKey::from_ec_der(&key.serialize_der());
    // 4, x, y (SEC 1, section 2.3.3)
    let point = key.public_key_raw();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    let public = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid});
    Pair { private, public: serde_json::from_value(public).expect("a key") }
}

fn good() -> Value {
    let now = get_current_timestamp();
    json!({"iss": "https://id.example", "sub": "s1", "aud": "cnnf", "nonce": "n1", "iat": now, "exp": now + 300, "groups": ["ops"]})
}

fn signed(pair: &Pair, kid: Option<&str>, claims: &Value) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::ES256) };
    encode(&header, claims, &pair.private).expect("signed")
}

#[test]
fn a_token_for_this_sign_in_is_believed() {
    let (a, b) = (pair("a"), pair("b"));
    let keys = [a.public.clone(), b.public.clone()];
    for kid in [Some("b"), None] {
        let (subject, rest) = check(&signed(&b, kid, &good()), &keys, &EXPECTED).expect("believed");
        assert_eq!((subject.as_str(), &rest["groups"]), ("s1", &json!(["ops"])));
    }
    let mut several = good();
    several["aud"] = json!(["cnnf", "other"]);
    several["azp"] = json!("cnnf");
    assert!(check(&signed(&a, Some("a"), &several), &keys, &EXPECTED).is_ok());
}

#[test]
fn everything_else_is_refused() {
    let (ours, other) = (pair("a"), pair("a"));
    let keys = [ours.public.clone()];
    let now = get_current_timestamp();
    for (key, value, part) in [
        ("nonce", json!("n2"), "nonce"),
        ("nonce", Value::Null, "nonce"),
        ("aud", json!("other"), "another client"),
        ("aud", json!([]), "another client"),
        ("aud", json!(["cnnf", "other"]), "another client"),
        ("azp", json!("other"), "another client"),
        ("iss", json!("https://evil.example"), "another issuer"),
        ("iss", json!(["https://id.example"]), "expected a string"),
        ("exp", json!(now - 61), "expired"),
        ("exp", Value::Null, "exp"),
        ("nbf", json!(now + 120), "not valid yet"),
        ("iat", json!(now + 120), "in the future"),
        ("iat", Value::Null, "f64"),
        ("sub", json!(""), "names nobody"),
        ("sub", json!("s".repeat(256)), "names nobody"),
        ("sub", Value::Null, "expected a string"),
    ] {
        let mut claims = good();
        claims[key] = value.clone();
        let error = check(&signed(&ours, Some("a"), &claims), &keys, &EXPECTED).expect_err(key).to_string();
        assert!(error.contains(part), "{key} = {value}: {error}");
    }
    let token = signed(&other, Some("a"), &good());
    assert_eq!(check(&token, &keys, &EXPECTED), Err(TokenError::NoKey), "another's signature under the same name");
    assert_eq!(check(&signed(&ours, Some("z"), &good()), &keys, &EXPECTED), Err(TokenError::NoKey));
    assert_eq!(check(&signed(&ours, Some("a"), &good()), &[], &EXPECTED), Err(TokenError::NoKey));
}

#[test]
fn a_token_cannot_choose_how_it_is_checked() {
    let ours = pair("a");
    let keys = [ours.public.clone()];
    // Signed with what everybody knows: the public key, or nothing.
    let public = serde_json::to_vec(&ours.public).expect("text");
    let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::HS256) };
    let hmac = encode(&header, &good(), &EncodingKey::from_secret(&public)).expect("signed");
    assert!(matches!(check(&hmac, &keys, &EXPECTED), Err(TokenError::Wrong(_))));
    let token = signed(&ours, Some("a"), &good());
    let (_, rest) = token.split_once('.').expect("parts");
    let (claims, signature) = rest.split_once('.').expect("parts");
    for bad in [
        format!("eyJhbGciOiJub25lIn0.{claims}."),
        format!("eyJhbGciOiJub25lIn0.{claims}.{signature}"),
        format!("{token}x"),
        token.replace(signature, ""),
        String::new(),
        "a.b.c".to_owned(),
    ] {
        assert!(check(&bad, &keys, &EXPECTED).is_err(), "{bad}");
    }
}

#[test]
fn a_key_for_something_else_is_no_key() {
    let ours = pair("a");
    let mut key = ours.public.clone();
    key.common.public_key_use = Some(PublicKeyUse::Encryption);
    assert_eq!(check(&signed(&ours, Some("a"), &good()), &[key], &EXPECTED), Err(TokenError::NoKey));
}
