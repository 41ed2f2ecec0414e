//! With TLS, whoever has not the right certificate is kept out, and told why.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use consensus_api::{Arrival, ClusterName, Identity, Lane, NodeId, PeerRefusalKind, Transport};
use quorate_transport_tcp::{Listener, Secret, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::member::{Member, frame, identity, listen, options};
use crate::speaker::{REFUSAL, Speaker, Wire, hello};

const A_WHILE: Duration = Duration::from_millis(300);

/// Signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn tls(&self, name: &str) -> Tls {
        let (certificate, key) = self.issue(name);
        Tls::from_pem(certificate.as_bytes(), key.as_bytes(), self.pem().as_bytes()).unwrap()
    }
}

fn name(node: u64) -> String {
    Tls::name_of(&ClusterName::new("orchard").unwrap(), NodeId(node))
}

/// Two members with these certificates, that have not met. `None` is one without TLS.
async fn pair(tls: [Option<Tls>; 2]) -> [Member; 2] {
    let (a, b) = (listen().await, listen().await);
    let peers = [(1, a.local_addr()), (2, b.local_addr())];
    let [for_a, for_b] = tls;
    [member(a, 1, &peers, for_a), member(b, 2, &peers, for_b)]
}

fn member(listener: Listener, node: u64, peers: &[(u64, SocketAddr)], tls: Option<Tls>) -> Member {
    let mut tcp = listener.with_peers(node, peers).with_options(options());
    if let Some(tls) = &tls {
        tcp = tcp.with_tls(tls);
    }
    Member::attach(tcp, &identity(node))
}

/// One of the refusals that a member is told has these words; and its status shows that kind.
async fn is_told(member: &mut Member, words: &str, kind: Option<PeerRefusalKind>) {
    let mut told = Vec::new();
    while !told.iter().any(|reason: &String| reason.contains(words)) {
        assert!(told.len() < 4, "nobody said {words:?}: {told:?}");
        told.push(member.refusal().await.1);
    }
    if let Some(kind) = kind {
        assert_eq!(member.tcp.peers()[0].refusal.as_ref().map(|refusal| refusal.kind), Some(kind));
    }
}

async fn nothing_arrives(members: [Member; 2]) {
    for mut member in members {
        let peer = member.tcp.peers()[0].peer;
        let _taken_or_not = member.tcp.send(peer, Lane::Data, frame(b"not for you"));
        for arrival in member.for_a_while(A_WHILE).await {
            let expected = matches!(arrival, Arrival::Unreachable(_) | Arrival::Refused { .. });
            assert!(expected, "{arrival:?} came");
        }
    }
}

#[tokio::test]
async fn members_meet_and_talk() {
    let authority = Authority::new();
    let [mut a, mut b] = pair([1, 2].map(|node| Some(authority.tls(&name(node))))).await;
    a.talk(&mut b).await;
    // More than a record, a socket and a queue take at once, in both parts.
    let part = |seed| crate::member::bytes(5 << 20, seed);
    let large = consensus_api::Frame { head: part(1), body: part(2) };
    for lane in [Lane::Control, Lane::Data, Lane::Bulk] {
        a.send(2, lane, &large);
        assert_eq!(b.frame().await, (NodeId(1), large.clone()));
    }
}

#[tokio::test]
async fn a_secret_within_tls_is_proven_as_well() {
    let authority = Authority::new();
    let (a, b) = (listen().await, listen().await);
    let peers = [(1, a.local_addr()), (2, b.local_addr())];
    let start = |listener: Listener, node: u64| {
        let tcp = listener.with_peers(node, peers).with_tls(&authority.tls(&name(node)));
        Member::attach(tcp.with_secret(Secret::new("the very same secret").unwrap()), &identity(node))
    };
    let (mut a, mut b) = (start(a, 1), start(b, 2));
    a.talk(&mut b).await;
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let [mut a, mut b] = pair([Some(ours.tls(&name(1))), Some(theirs.tls(&name(2)))]).await;
    is_told(
        &mut a,
        "the certificate of node 2 is not accepted by node 1",
        Some(PeerRefusalKind::Certificate),
    )
    .await;
    is_told(&mut b, "does not accept the certificate of", None).await;
    nothing_arrives([a, b]).await;
}

#[tokio::test]
async fn a_certificate_that_is_anothers() {
    let authority = Authority::new();
    // Node 2 has stolen the certificate of node 3, and says that it is node 2.
    let (a, b) = (listen().await, listen().await);
    let peers = [(1, a.local_addr()), (3, b.local_addr())];
    let mut a = member(a, 1, &[peers[0], (2, b.local_addr())], Some(authority.tls(&name(1))));
    let mut b = member(b, 3, &peers, Some(authority.tls(&name(3))));
    is_told(
        &mut a,
        "the certificate of node 2 is not accepted by node 1",
        Some(PeerRefusalKind::Certificate),
    )
    .await;
    // Node 3 with its own certificate is told that nobody knows it, which is true.
    is_told(&mut b, "node 3 is not among the peers of node 1", None).await;
}

/// Node 3 has a certificate of its own, and calls as node 2.
#[tokio::test]
async fn a_caller_whose_certificate_is_anothers() {
    let authority = Authority::new();
    let [mut a, _b] = pair([1, 2].map(|node| Some(authority.tls(&name(node))))).await;
    let (certificate, key) = authority.issue(&name(3));
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"quorate".to_vec()];
    let stream = TcpStream::connect(a.tcp.local_addr()).await.unwrap();
    let to = ServerName::try_from(name(1)).unwrap();
    let mut caller = TlsConnector::from(Arc::new(config)).connect(to, stream).await.unwrap();
    caller.write_all(&Wire::hello(&hello([1, 1], &identity(2), 1)).bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _end = caller.read_to_end(&mut answer).await;
    assert_eq!((answer[3], answer[32]), (REFUSAL, 10), "{}", String::from_utf8_lossy(&answer));
    is_told(
        &mut a,
        "the certificate of node 2 is not accepted by node 1",
        Some(PeerRefusalKind::Certificate),
    )
    .await;
}

#[tokio::test]
async fn a_member_without_tls() {
    let authority = Authority::new();
    let [mut a, mut b] = pair([Some(authority.tls(&name(1))), None]).await;
    is_told(&mut a, "node 1 demands TLS, and node 2 called without", None).await;
    let words = "node 1 demands TLS, and node 2 called without; use TLS on all nodes or on none";
    is_told(&mut b, words, Some(PeerRefusalKind::Encryption)).await;
    nothing_arrives([a, b]).await;
}

#[tokio::test]
async fn a_plain_caller_is_refused_in_words() {
    let authority = Authority::new();
    let [a, _b] = pair([1, 2].map(|node| Some(authority.tls(&name(node))))).await;
    let mut caller = Speaker::dial(a.tcp.local_addr()).await;
    caller.say(&Wire::hello(&hello([1, 1], &identity(2), 1)).bytes()).await;
    let refusal = caller.hear().await.unwrap();
    assert_eq!((refusal.kind, refusal.head[0]), (REFUSAL, 11));
    caller.is_hung_up().await;
    for rubbish in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xa5; 3_000], &[0x16, 3, 1, 0xff, 0xff, 1]] {
        let mut caller = Speaker::dial(a.tcp.local_addr()).await;
        caller.say(rubbish).await;
        let mut rest = Vec::new();
        let _end_or_reset = caller.stream.read_to_end(&mut rest).await;
    }
}

#[tokio::test]
async fn certificates_are_replaced_while_it_runs() {
    let (old, new) = (Authority::new(), Authority::new());
    let certificates = [1, 2].map(|node| old.tls(&name(node)));
    let [mut a, mut b] = pair(certificates.clone().map(Some)).await;
    a.talk(&mut b).await;
    let replace = |tls: &Tls, node: u64| {
        let (certificate, key) = new.issue(&name(node));
        tls.replace(certificate.as_bytes(), key.as_bytes(), new.pem().as_bytes())
    };
    // One of another node is not taken, and all stays as it was.
    let refused = replace(&certificates[0], 2).unwrap_err().to_string();
    assert!(refused.contains("is not for node-1.orchard.quorate"), "{refused}");
    replace(&certificates[0], 1).unwrap();
    replace(&certificates[1], 2).unwrap();
    a.talk(&mut b).await; // on the connections that were there
    // A newcomer with an old one is refused now, and with a new one let in.
    let b_at = b.tcp.local_addr();
    let peers = [(1, a.tcp.local_addr()), (2, b_at)];
    drop(b);
    a.until(&Arrival::Unreachable(NodeId(2))).await;
    let again = crate::life::listen_again(b_at).await;
    let mut late = member(again, 2, &peers, Some(old.tls(&name(2))));
    is_told(&mut late, "the certificate of node 1 is not accepted by node 2", None).await;
    drop(late);
    let again = crate::life::listen_again(b_at).await;
    let mut b = member(again, 2, &peers, Some(certificates[1].clone()));
    a.until(&Arrival::Connected(NodeId(2))).await;
    a.talk(&mut b).await;
}

#[tokio::test]
async fn what_keeps_it_from_starting() {
    let authority = Authority::new();
    let pem = authority.pem();
    let (certificate, key) = authority.issue(&name(1));
    let says = |problem: String, words: &str| assert!(problem.contains(words), "{problem:?} lacks {words:?}");
    let parse = |certificate: &str, key: &str, authority: &str| {
        Tls::from_pem(certificate.as_bytes(), key.as_bytes(), authority.as_bytes()).unwrap_err().to_string()
    };
    says(parse("", &key, &pem), "the node's certificate cannot be read as PEM");
    says(parse(&certificate, &certificate, &pem), "the node's private key cannot be read as PEM");
    says(parse(&certificate, &key, &key), "the authority's certificate cannot be read as PEM");
    says(parse(&certificate, &authority.issue("x.y").1, &pem), "certificate and private key do not fit");
    says(
        Tls::from_files("/nowhere", "/nowhere", "/nowhere").unwrap_err().to_string(),
        "cannot read /nowhere",
    );
    let mut wrong = listen().await.with_peers(1, [(1, "")]).with_tls(&authority.tls(&name(2)));
    let problem = wrong.attach(&identity(1)).unwrap_err().to_string();
    says(problem, "is not for node-1.orchard.quorate");
    let spaced = Identity { cluster: ClusterName::new("old orchard").unwrap(), ..identity(1) };
    let mut unnamed = listen().await.with_peers(1, [(1, "")]).with_tls(&authority.tls(&name(1)));
    let problem = unnamed.attach(&spaced).unwrap_err().to_string();
    says(problem, "cannot stand in a certificate: with TLS, use letters, digits, hyphens and dots");
}
