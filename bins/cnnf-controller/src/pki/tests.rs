use super::*;

fn folder() -> Folder {
    let ca = Ca::create().expect("a CA");
    let server =
        Ca::of(&ca).expect("usable").server(&["c.example".to_owned(), "10.0.0.5".to_owned(), "fd86::5".to_owned()]);
    Folder { ca, server: server.expect("a certificate"), other: None }
}

#[test]
fn a_folder_is_replaced_as_a_whole() {
    let place = tempfile::tempdir().expect("folder");
    let (first, second) = (folder(), folder());
    first.store(place.path()).expect("stored");
    let mark = Folder::mark(place.path());
    assert_eq!(Folder::load(place.path()).expect("read"), first);
    let second = Folder { other: Some((first.ca.clone(), "word".to_owned())), ..second };
    second.store(place.path()).expect("stored");
    assert_eq!(Folder::load(place.path()).expect("read"), second);
    assert_ne!(Folder::mark(place.path()), mark);
    assert_eq!(std::fs::read_dir(place.path()).expect("list").count(), 1, "nothing is left over");
}

#[test]
fn the_names_of_a_server_are_read_back() {
    assert_eq!(names_of(&folder().server).expect("names"), ["c.example", "10.0.0.5", "fd86::5"]);
}

#[test]
fn a_foreign_key_and_a_certificate_of_no_ca_are_refused() {
    let (one, two) = (folder(), folder());
    let mixed = Pair { certificate: one.ca.certificate.clone(), key: two.ca.key };
    let error = Ca::of(&mixed).err().expect("refused").to_string();
    assert!(error.contains("not the one of its certificate"), "{error}");
    let error = Ca::of(&one.server).err().expect("refused").to_string();
    assert!(error.contains("not one of a CA"), "{error}");
}

/// Names are compared by their bytes, so the word for a CA must spell its name as the CA does, however that is encoded.
#[test]
fn a_ca_of_any_name_is_vouched_for() {
    let old = Ca::of(&folder().ca).expect("usable");
    let mut params = fresh(CA_LIFE).expect("params");
    params.distinguished_name.push(DnType::CountryName, DnValue::PrintableString("DE".try_into().expect("printable")));
    params.distinguished_name.push(DnType::OrganizationName, "Größe & Söhne");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("key");
    let certificate = params.self_signed(&key).expect("signed").pem();
    let new = Ca::of(&Pair { certificate, key: key.serialize_pem() }).expect("usable");
    let word = certificates_from_pem(&old.vouch(&new).expect("a word")).expect("PEM").remove(0);
    assert_eq!(
        parse(&word).expect("readable").subject().as_raw(),
        parse(&new.der).expect("readable").subject().as_raw()
    );
}
