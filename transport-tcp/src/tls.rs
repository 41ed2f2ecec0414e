//! [`Tls`]: who the nodes are, proven by certificates, and nobody listens in.

use std::fmt::Display;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use consensus_api::{ClusterName, NodeId, TransportError};
use tokio::net::TcpStream;
use tokio_rustls::rustls::client::{Resumption, verify_server_name};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::ending::Ending;
use crate::refusal::Refusal;

/// What both sides say that they want to speak within TLS, so that a certificate for us opens no other service.
const APPLICATION: &[u8] = b"quorate";

/// Mutual TLS between the members: each shows a certificate that an authority of the cluster has signed and that names
/// the node. Version 1.3 only.
///
/// The certificate of node 2 of the cluster `orchard` is for the DNS name `node-2.orchard.quorate`
/// ([`Tls::name_of`]), as a subject alternative name. Nobody looks that name up; it is what binds the certificate to
/// the node. So the cluster's name has to be one that can stand there: letters, digits, hyphens and dots. It is for
/// server and client alike, as every node is both. A wildcard would stand for every node: do not issue one.
///
/// With openssl, once per cluster, then once per node:
///
/// ```sh
/// openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
///     -keyout ca-key.pem -out ca.pem -subj "/CN=orchard authority"
/// openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
///     -keyout node-2-key.pem -out node-2.csr -subj "/CN=node 2 of orchard"
/// openssl x509 -req -in node-2.csr -CA ca.pem -CAkey ca-key.pem -days 365 -out node-2.pem \
///     -extfile <(printf "subjectAltName=DNS:node-2.orchard.quorate\nextendedKeyUsage=serverAuth,clientAuth\n")
/// ```
///
/// Cloning it gives another handle to the same certificates: keep one to [`reload`](Self::reload) them.
#[derive(Clone, Debug)]
pub struct Tls {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    files: Option<Files>,
    sides: Sides,
    /// What the certificate must be for, once a node has attached the transport.
    name: Option<ServerName<'static>>,
}

#[derive(Clone, Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    authority: PathBuf,
}

/// What both sides of a connection need of one set of certificates.
#[derive(Clone, Debug)]
struct Sides {
    called: Arc<ServerConfig>,
    caller: Arc<ClientConfig>,
    certificate: CertificateDer<'static>,
}

impl Tls {
    /// From files in PEM form: the node's certificate (and what leads from it to the authority), its private key, and
    /// the authorities that sign certificates of this cluster.
    ///
    /// # Errors
    /// A sentence, when a file cannot be read or does not hold what it should.
    pub fn from_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
        authority: impl AsRef<Path>,
    ) -> Result<Self, TransportError> {
        let path = |path: &Path| path.to_owned();
        let (certificate, key) = (path(certificate.as_ref()), path(key.as_ref()));
        let files = Files { certificate, key, authority: path(authority.as_ref()) };
        let sides = files.load()?;
        Ok(Self::new(Some(files), sides))
    }

    /// The same from memory.
    ///
    /// # Errors
    /// A sentence, when one of them does not hold what it should.
    pub fn from_pem(certificate: &[u8], key: &[u8], authority: &[u8]) -> Result<Self, TransportError> {
        Ok(Self::new(None, Sides::parse(certificate, key, authority)?))
    }

    fn new(files: Option<Files>, sides: Sides) -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { files, sides, name: None })) }
    }

    /// Reads the files again. Connections made from now on use what they hold; those that there are stay as they are.
    ///
    /// # Errors
    /// A sentence, when the files are not good; then all stays as it was. So it does without files.
    pub fn reload(&self) -> Result<(), TransportError> {
        let files = self.shared().files.clone();
        let files = files.ok_or_else(|| {
            TransportError("the certificates came from memory; replace them from there".to_owned())
        })?;
        self.take(files.load()?)
    }

    /// As [`reload`](Self::reload), from memory.
    ///
    /// # Errors
    /// A sentence, when one of them is not good; then all stays as it was.
    pub fn replace(&self, certificate: &[u8], key: &[u8], authority: &[u8]) -> Result<(), TransportError> {
        self.take(Sides::parse(certificate, key, authority)?)
    }

    fn take(&self, sides: Sides) -> Result<(), TransportError> {
        let mut shared = self.shared();
        if let Some(name) = &shared.name {
            sides.check_name(name)?;
        }
        shared.sides = sides;
        Ok(())
    }

    /// The DNS name that a node's certificate must be for.
    pub fn name_of(cluster: &ClusterName, node: NodeId) -> String {
        format!("node-{node}.{cluster}.quorate")
    }

    /// This is the node whose certificate it is.
    pub(crate) fn attach(&self, cluster: &ClusterName, me: NodeId) -> Result<(), TransportError> {
        let name = server_name(cluster, me).map_err(TransportError)?;
        let mut shared = self.shared();
        shared.sides.check_name(&name)?;
        shared.name = Some(name);
        Ok(())
    }

    /// Calls on a peer whose certificate must be that of this node.
    pub(crate) async fn call(
        &self,
        stream: TcpStream,
        cluster: &ClusterName,
        me: NodeId,
        peer: NodeId,
    ) -> Result<Box<TlsStream<TcpStream>>, Ending> {
        let name = server_name(cluster, peer).map_err(|problem| Refusal::Encryption { problem })?;
        let caller = Arc::clone(&self.shared().sides.caller);
        match TlsConnector::from(caller).connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream.into())),
            Err(error) => Err(refusal_in(&error, me, peer).map_or_else(
                || {
                    let problem = format!("node {peer} did not answer as one that speaks TLS ({error})");
                    Refusal::Encryption { problem }.into()
                },
                Ending::Refused,
            )),
        }
    }

    /// Answers a caller, who must show some certificate of the cluster; whose it is shows when it says who it is.
    pub(crate) async fn answer(&self, stream: TcpStream) -> Result<Box<TlsStream<TcpStream>>, io::Error> {
        let called = Arc::clone(&self.shared().sides.called);
        Ok(Box::new(TlsAcceptor::from(called).accept(stream).await?.into()))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // No code that holds the lock can leave it half-done.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the certificate that the other side has shown is that of this node.
pub(crate) fn check_peer(
    stream: &TlsStream<TcpStream>,
    cluster: &ClusterName,
    me: NodeId,
    peer: NodeId,
) -> Result<(), Refusal> {
    let (_, connection) = stream.get_ref();
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    let checked = server_name(cluster, peer).and_then(|name| {
        let shown = shown.ok_or_else(|| "it showed none".to_owned())?;
        let parsed = ParsedCertificate::try_from(shown).map_err(|error| error.to_string())?;
        verify_server_name(&parsed, &name).map_err(|error| error.to_string())
    });
    checked.map_err(|problem| Refusal::Certificate { me, peer, problem })
}

/// The refusal that stands behind an I/O error, if one does: theirs of our certificate, or ours of theirs.
pub(crate) fn refusal_in(error: &io::Error, me: NodeId, peer: NodeId) -> Option<Refusal> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Some(Refusal::Certificate { me, peer, problem: error.to_string() })
        }
        rustls::Error::AlertReceived(alert) => {
            let problem = format!("it says {alert:?}");
            Some(Refusal::Certificate { me: peer, peer: me, problem })
        }
        _ => None,
    }
}

/// What an operator should know of a caller that failed to come in; `None` where it was no member's mistake.
pub(crate) fn complaint(error: &io::Error, me: NodeId, address: SocketAddr) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            let remedy = "it must show one that the cluster's authority has signed";
            Some(format!(
                "node {me} does not accept the certificate of a caller from {address}: {error}; {remedy}"
            ))
        }
        rustls::Error::AlertReceived(alert) => Some(format!(
            "a caller from {address} does not accept the certificate of node {me}: it says {alert:?}; give both certificates that one authority has signed"
        )),
        _ => None,
    }
}

fn server_name(cluster: &ClusterName, node: NodeId) -> Result<ServerName<'static>, String> {
    ServerName::try_from(Tls::name_of(cluster, node)).map_err(|_| {
        format!(
            "the cluster's name {cluster:?} cannot stand in a certificate: with TLS, use letters, digits, hyphens and dots"
        )
    })
}

impl Files {
    fn load(&self) -> Result<Sides, TransportError> {
        let read = |path: &Path| {
            let complaint = |error| {
                TransportError(format!(
                    "cannot read {}: {error}; correct its path or its rights",
                    path.display()
                ))
            };
            fs::read(path).map_err(complaint)
        };
        Sides::parse(&read(&self.certificate)?, &read(&self.key)?, &read(&self.authority)?)
    }
}

impl Sides {
    fn parse(certificate: &[u8], key: &[u8], authority: &[u8]) -> Result<Self, TransportError> {
        let wrong = |what: &str, error: &dyn Display, remedy: &str| {
            TransportError(format!("{what}: {error}; {remedy}"))
        };
        let chain = certificates(certificate, "the node's certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            let remedy = "give what begins with -----BEGIN PRIVATE KEY-----, and has no password";
            wrong("the node's private key cannot be read as PEM", &error, remedy)
        })?;
        let mut roots = RootCertStore::empty();
        for root in certificates(authority, "the authority's certificate")? {
            roots.add(root).map_err(|error| {
                let remedy = "give the one that signs the members' certificates";
                wrong("the authority's certificate is of no use", &error, remedy)
            })?;
        }
        let (roots, provider) = (Arc::new(roots), Arc::new(default_provider()));
        let unfit = |error: rustls::Error| {
            let remedy = "give the key that the certificate was made for";
            wrong("the node's certificate and private key do not fit", &error, remedy)
        };

        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let verifier = verifier.build().map_err(|error| {
            wrong("no certificate can be verified", &error, "give the authority that signs them")
        })?;
        let mut called = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(unfit)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(unfit)?;
        called.alpn_protocols = vec![APPLICATION.to_vec()];
        // Nothing is resumed: each connection shows certificates, so that a reload counts for all of them.
        called.session_storage = Arc::new(NoServerSessionStorage {});
        called.send_tls13_tickets = 0;

        let certificate = chain[0].clone();
        let mut caller = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(unfit)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(unfit)?;
        caller.alpn_protocols = vec![APPLICATION.to_vec()];
        caller.resumption = Resumption::disabled();
        Ok(Self { called: Arc::new(called), caller: Arc::new(caller), certificate })
    }

    fn check_name(&self, name: &ServerName<'_>) -> Result<(), TransportError> {
        let parsed = ParsedCertificate::try_from(&self.certificate);
        parsed.and_then(|parsed| verify_server_name(&parsed, name)).map_err(|error| {
            let name = name.to_str();
            TransportError(format!(
                "the node's certificate is not for {name}: {error}; it needs that as a subject alternative DNS name"
            ))
        })
    }
}

/// One certificate or several, in PEM form.
fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let unread = |problem: &dyn Display| {
        let remedy = "give what begins with -----BEGIN CERTIFICATE-----";
        TransportError(format!("{what} cannot be read as PEM: {problem}; {remedy}"))
    };
    let parsed = parsed.map_err(|error| unread(&error))?;
    if parsed.is_empty() { Err(unread(&"it holds no certificate")) } else { Ok(parsed) }
}
