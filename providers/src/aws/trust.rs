//! The certificates that are trusted: those of the system, or of the bundle that `AWS_CA_BUNDLE` or a profile's `ca_bundle`
//! names, as for every AWS tool.

use aws_config::{ConfigLoader, provider_config::ProviderConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{
    failure::Failure,
    settings::{Settings, variable},
};
use crate::discovery::FailureKind;

/// A HTTP client of its own, if a bundle is named.
pub(crate) struct Trust {
    client: Option<SharedHttpClient>,
    /// Place where a certificate of one's own belongs, for the error.
    pub(crate) bundle: String,
}

impl Trust {
    /// Reads the bundle.
    pub(crate) fn read(settings: &Settings) -> Result<Self, Failure> {
        let from_profile = || Some(("ca_bundle of the profile", settings.value("ca_bundle")?.to_owned()));
        let named = variable("AWS_CA_BUNDLE").map(|path| ("AWS_CA_BUNDLE", path)).or_else(from_profile);
        let Some((name, path)) = named else {
            return Ok(Self { client: None, bundle: "/etc/ssl/certs/ca-certificates.crt".to_owned() });
        };
        let fault = |said: String| Failure::new(FailureKind::Rejected, &format!("{name}: {path} {said}"));
        let pem = std::fs::read(&path).map_err(|e| fault(format!("cannot be read: {e}")))?;
        let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|e| fault(format!("is no bundle of certificates: {e}")))?;
        let bad = certificates.iter().position(|der| webpki::anchor_from_trusted_cert(der).is_err());
        match bad {
            Some(position) => {
                Err(fault(format!("has a certificate that cannot be read, number {}", position + 1)))
            }
            None if certificates.is_empty() => Err(fault("has no certificate in it".to_owned())),
            None => Ok(Self { client: Some(client(pem)?), bundle: format!("{name}={path}") }),
        }
    }

    /// Puts the client into a configuration of the SDK.
    pub(crate) fn apply(&self, loader: ConfigLoader) -> ConfigLoader {
        match &self.client {
            Some(client) => loader.http_client(client.clone()),
            None => loader,
        }
    }

    /// Puts the client into a configuration of places of credentials.
    pub(crate) fn configure(&self, config: ProviderConfig) -> ProviderConfig {
        match &self.client {
            Some(client) => config.with_http_client(client.clone()),
            None => config,
        }
    }
}

fn client(pem: Vec<u8>) -> Result<SharedHttpClient, Failure> {
    let store = TrustStore::empty().with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(store).build();
    let context = context.map_err(|e| Failure::new(FailureKind::Rejected, &e.to_string()))?;
    let provider = Provider::Rustls(CryptoMode::AwsLc);
    Ok(Builder::new().tls_provider(provider).tls_context(context).build_https())
}
