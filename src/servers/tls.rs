//! TLS to a server's own port: who it is, and who asks, from files that are read for each connection, so that renewed ones are used
//! at once.

use std::path::PathBuf;

use tokio::net::TcpStream;

use super::{driver::Fault, url::Url};

/// The files of `--server-ca-file`, `--server-cert-file` and `--server-key-file`, all in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates that prove the server.
    pub ca: Option<PathBuf>,
    /// The agent's own certificate, with those that prove it.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// The connection, once both ends have proven who they are.
#[cfg(feature = "tls")]
pub(super) async fn secured(
    stream: TcpStream,
    url: &Url,
    files: &TlsFiles,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Fault> {
    let fault = |error: &dyn std::fmt::Display| Fault::Tls(error.to_string());
    let connector = with_files::connector(files.ca.as_ref(), files.cert.as_ref(), files.key.as_ref());
    let connector = connector.map_err(Fault::Tls)?;
    let name = url.host.to_string().trim_matches(['[', ']']).to_owned();
    let name = tokio_rustls::rustls::pki_types::ServerName::try_from(name).map_err(|error| fault(&error))?;
    connector.connect(name, stream).await.map_err(|error| fault(&error))
}

/// A build without TLS has none; the configuration is refused before.
#[cfg(not(feature = "tls"))]
#[expect(clippy::unused_async, reason = "the same shape with TLS and without")]
pub(super) async fn secured(_: TcpStream, _: &Url, _: &TlsFiles) -> Result<TcpStream, Fault> {
    Err(Fault::Tls("this build has no TLS".to_owned()))
}

#[cfg(feature = "tls")]
mod with_files {
    use std::{
        path::{Path, PathBuf},
        sync::Arc,
    };

    use tokio_rustls::{
        TlsConnector,
        rustls::{
            ClientConfig, RootCertStore,
            crypto::aws_lc_rs,
            pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        },
    };

    /// A connector by what the files hold now.
    pub(super) fn connector(
        ca: Option<&PathBuf>,
        cert: Option<&PathBuf>,
        key: Option<&PathBuf>,
    ) -> Result<TlsConnector, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| format!("--server-ca-file: {error}"))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let config = match key {
            None => config.with_no_client_auth(),
            Some(path) => {
                let key = PrivateKeyDer::from_pem_file(path).map_err(|error| in_file(path, &error))?;
                let chain = certificates(cert)?;
                config.with_client_auth_cert(chain, key).map_err(|error| in_file(path, &error))?
            }
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn certificates(path: Option<&PathBuf>) -> Result<Vec<CertificateDer<'static>>, String> {
        let Some(path) = path else { return Ok(Vec::new()) };
        let found = CertificateDer::pem_file_iter(path).map_err(|error| in_file(path, &error))?;
        let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| in_file(path, &error))?;
        if found.is_empty() { Err(in_file(path, &"no certificate in PEM")) } else { Ok(found) }
    }

    fn in_file(path: &Path, problem: &dyn std::fmt::Display) -> String {
        format!("{}: {problem}", path.display())
    }
}
