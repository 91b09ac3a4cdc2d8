//! The host's certificate while the defender runs: when to renew it, and whom to believe.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cnnf_core::time::Timestamp;
use cnnf_rpc::convert::common::time_text_or_never;
use cnnf_rpc::tls::{ClientTls, PeerIdentity, Validity, is_issued_by};
use cnnf_rpc::v1;
use cnnf_rpc::v1::defender_service_client::DefenderServiceClient;
use rcgen::{CertificateParams, DnType, KeyPair};
use tonic::transport::Channel;

use crate::enroll::host_name;
use crate::enrolment::Enrolment;

/// After a renewal that failed the next one waits so long.
const AGAIN: Duration = Duration::from_secs(30);
/// Hosts that are told of another CA at once do not renew at once: each waits a part of this.
const SPREAD: Duration = Duration::from_secs(5);

/// What every connection to the controller takes its credentials from.
pub(crate) struct Credentials {
    state_dir: PathBuf,
    enrolment: Mutex<Enrolment>,
    not_before: Mutex<SystemTime>,
}

impl Credentials {
    pub(crate) fn new(enrolment: Enrolment, state_dir: PathBuf) -> Self {
        Self { state_dir, enrolment: Mutex::new(enrolment), not_before: Mutex::new(SystemTime::UNIX_EPOCH) }
    }

    fn enrolment(&self) -> MutexGuard<'_, Enrolment> {
        self.enrolment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a connection needs.
    pub(crate) fn tls(&self) -> ClientTls {
        self.enrolment().tls()
    }

    /// Until when the certificate holds, RFC 3339; empty if it does not say.
    pub(crate) fn expires(&self) -> String {
        let validity = Validity::of(&self.enrolment().certificate);
        validity.map(|validity| time_text_or_never(Timestamp::of(validity.not_after))).unwrap_or_default()
    }

    /// Believes these CAs from now on. None at all are not taken: they would shut this host out.
    pub(crate) fn believe(&self, cas: Vec<Vec<u8>>) {
        let mut enrolment = self.enrolment();
        if cas.is_empty() || enrolment.cas == cas {
            return;
        }
        let next = Enrolment { cas, ..enrolment.clone() };
        match next.store(&self.state_dir) {
            Ok(()) => {
                tracing::info!("the controller's CA changes: {} are believed", next.cas.len());
                *enrolment = next;
                self.wait(SPREAD.mul_f64(rand::random::<f64>()));
            }
            // It is told again on the next stream.
            Err(error) => tracing::error!("{}: {error}: another CA is not taken up", self.state_dir.display()),
        }
    }

    /// Whether the certificate is to be renewed at this time: half of its life is over, or it is by a CA that signs no more.
    pub(crate) fn due(&self, now: SystemTime) -> bool {
        if now < *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) {
            return false;
        }
        let enrolment = self.enrolment();
        let old = Validity::of(&enrolment.certificate).is_ok_and(|validity| validity.half_life() <= now);
        let signs = enrolment.cas.first();
        old || signs.is_some_and(|ca| is_issued_by(&enrolment.certificate, ca).is_ok_and(|by| !by))
    }

    fn wait(&self, time: Duration) {
        *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) = SystemTime::now() + time;
    }

    /// Renews the certificate. Connections that live go on; the next one shows the new one.
    pub(crate) async fn renew(&self, channel: Channel) {
        self.wait(AGAIN);
        match self.ask(channel).await {
            Ok(()) => {
                tracing::info!("the certificate is renewed");
                self.wait(Duration::ZERO);
            }
            Err(error) => tracing::warn!("the certificate is not renewed, and will be tried again: {error}"),
        }
    }

    async fn ask(&self, channel: Channel) -> Result<(), String> {
        let (key, csr) = new_key(&host_name()).map_err(|error| error.to_string())?;
        let answer = DefenderServiceClient::new(channel).renew(v1::RenewRequest { csr }).await;
        let certificate = answer.map_err(|status| status.message().to_owned())?.into_inner().certificate;
        let mut enrolment = self.enrolment();
        let same = PeerIdentity::from_certificate(&enrolment.certificate).map_err(|error| error.to_string())?;
        if PeerIdentity::from_certificate(&certificate).map_err(|error| error.to_string())? != same {
            return Err("the new one is for somebody else".to_owned());
        }
        let next = Enrolment { key, certificate, ..enrolment.clone() };
        next.store(&self.state_dir).map_err(|error| format!("{}: {error}", self.state_dir.display()))?;
        *enrolment = next;
        Ok(())
    }
}

/// A new private key in PKCS#8 and a certificate request for it, both DER.
///
/// # Errors
/// As the library's.
pub(crate) fn new_key(host_name: &str) -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, host_name);
    let csr = params.serialize_request(&key)?;
    Ok((key.serialize_der(), csr.der().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrolment::Place;

    fn made(life: Duration, ca: &CertificateParams, key: &KeyPair) -> Vec<u8> {
        let mut params = CertificateParams::default();
        let now = SystemTime::now();
        (params.not_before, params.not_after) = ((now - Validity::BACKDATED).into(), (now + life).into());
        let by = rcgen::Issuer::from_params(ca, key);
        params.signed_by(&KeyPair::generate().expect("key"), &by).expect("signed").der().to_vec()
    }

    fn ca(name: &str) -> (CertificateParams, KeyPair, Vec<u8>) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("key");
        let der = params.self_signed(&key).expect("signed").der().to_vec();
        (params, key, der)
    }

    #[test]
    fn a_certificate_is_renewed_at_half_life_and_when_another_ca_signs() {
        let folder = tempfile::tempdir().expect("folder");
        let (old, new) = (ca("old"), ca("new"));
        let place = Place { controller: "c:7443".into(), host_id: "h-1".into(), labels: Default::default() };
        let hour = Duration::from_secs(3600);
        let certificate = made(2 * hour, &old.0, &old.1);
        let enrolment = Enrolment { place, key: vec![1], certificate, cas: vec![old.2.clone()] };
        let credentials = Credentials::new(enrolment, folder.path().to_owned());
        let now = SystemTime::now();
        assert!(!credentials.due(now) && !credentials.due(now + hour.mul_f64(0.9)));
        assert!(credentials.due(now + hour.mul_f64(1.1)));

        credentials.believe(vec![]);
        assert_eq!(credentials.tls().cas, std::slice::from_ref(&old.2), "nobody is no answer");
        credentials.believe(vec![new.2.clone(), old.2.clone()]);
        assert_eq!(credentials.tls().cas.len(), 2);
        let kept = Enrolment::load(folder.path()).expect("read").expect("enrolled");
        assert_eq!(kept.cas, [new.2, old.2], "it holds after a restart too");
        assert!(credentials.due(SystemTime::now() + SPREAD), "the certificate is by the old one");
    }
}
