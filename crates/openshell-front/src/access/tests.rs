//! Who is who: a table over connections and what is shown on them.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use openshell_uds::PeerCredentials;

use super::*;

const OWN: &str = "own-token-own-token-own-token";
const CI: &str = "ci-token-ci-token-ci-token-ci";

fn keep(path: &Path, token: &str) -> PathBuf {
    use std::io::Write as _;
    let mut file =
        std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(token.as_bytes()).unwrap();
    path.to_owned()
}

fn rule(name: &str, role: Role) -> IdentityRule {
    IdentityRule {
        name: name.to_owned(),
        role,
        token_path: None,
        certificate_name: None,
        certificate_sha256: None,
        uids: Vec::new(),
        rate: None,
    }
}

fn settings(dir: &Path) -> AccessSettings {
    AccessSettings {
        owner_uid: 1000,
        token_path: Some(keep(&dir.join("own"), OWN)),
        allow_unauthenticated: false,
        client_role: Some(Role::Use),
        rate: Rate::default(),
        identities: vec![
            IdentityRule {
                token_path: Some(keep(&dir.join("ci"), CI)),
                certificate_name: Some("CI.example.org".to_owned()),
                uids: vec![1001, 1002],
                ..rule("ci", Role::Read)
            },
            IdentityRule { certificate_sha256: Some([7; 32]), ..rule("operator", Role::Admin) },
        ],
    }
}

fn unix(uid: u32) -> Option<Peer> {
    Some(Peer::Unix(PeerCredentials { uid, gid: 7, pid: None }))
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 40_000))
}

fn tcp() -> Option<Peer> {
    Some(Peer::Tcp { address: address() })
}

fn tls(certificate: Option<(u8, &[&str])>) -> Option<Peer> {
    let certificate = certificate.map(|(byte, names)| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Arc::new(ClientCertificate { fingerprint: [byte; 32], names })
    });
    Some(Peer::Tls { address: address(), certificate })
}

fn headers(authorization: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in authorization {
        headers.append(AUTHORIZATION, value.parse().unwrap());
    }
    headers
}

fn who(policy: &Policy, peer: Option<&Peer>, authorization: &[&str]) -> Result<(String, Role), Denied> {
    let found = policy.authenticate(peer, &headers(authorization));
    found.map(|caller| (caller.name().to_owned(), caller.identity().role))
}

#[test]
fn whoever_comes_is_known_or_denied() {
    let dir = tempfile::tempdir().unwrap();
    let policy = Policy::new(&settings(dir.path())).unwrap();
    let own = format!("Bearer {OWN}");
    let ci = format!("bearer   {CI}");
    let off = format!("Bearer {}m", &OWN[..OWN.len() - 1]);
    let short = format!("Bearer {}", &OWN[..OWN.len() - 1]);
    let longer = format!("Bearer {OWN}n");
    let endless = format!("Bearer {}", "a".repeat(5000));
    let is = |name: &str, role| Ok((name.to_owned(), role));
    let admin = |name: &str| is(name, Role::Admin);
    let ci_name: &[&str] = &["other.example.org", "ci.example.org"];
    for (peer, shown, expected) in [
        // The socket: the uid, whatever is shown.
        (unix(1000), vec![], admin("owner")),
        (unix(0), vec![], admin("owner")),
        (unix(1001), vec![], is("ci", Role::Read)),
        (unix(1002), vec![], is("ci", Role::Read)),
        (unix(1003), vec![], Err(Denied::Uid)),
        (unix(1003), vec![own.as_str()], Err(Denied::Uid)),
        (unix(1001), vec![own.as_str()], is("ci", Role::Read)),
        (unix(1000), vec![ci.as_str()], admin("owner")),
        (unix(1000), vec!["Bearer wrong"], admin("owner")),
        (None, vec![own.as_str()], Err(Denied::NoPeer)),
        // A port: the token.
        (tcp(), vec![own.as_str()], admin("token")),
        (tcp(), vec![ci.as_str()], is("ci", Role::Read)),
        (tcp(), vec![], Err(Denied::Missing)),
        (tcp(), vec![off.as_str()], Err(Denied::Unknown)),
        (tcp(), vec![short.as_str()], Err(Denied::Unknown)),
        (tcp(), vec![longer.as_str()], Err(Denied::Unknown)),
        (tcp(), vec![own.as_str(), own.as_str()], Err(Denied::Several)),
        (tcp(), vec![own.as_str(), ci.as_str()], Err(Denied::Several)),
        (tcp(), vec![OWN], Err(Denied::Scheme)),
        (tcp(), vec![""], Err(Denied::Scheme)),
        (tcp(), vec!["Basic dG9rZW46"], Err(Denied::Scheme)),
        (tcp(), vec!["Bearerx y"], Err(Denied::Scheme)),
        (tcp(), vec!["Bearer"], Err(Denied::Malformed)),
        (tcp(), vec!["Bearer "], Err(Denied::Malformed)),
        (tcp(), vec!["Bearer a b"], Err(Denied::Malformed)),
        (tcp(), vec!["Bearer a,b"], Err(Denied::Malformed)),
        (tcp(), vec![endless.as_str()], Err(Denied::TooLong)),
        (tls(None), vec![own.as_str()], admin("token")),
        (tls(None), vec![], Err(Denied::Missing)),
        // A certificate: its fingerprint, its name, or that it is there.
        (tls(Some((7, &[]))), vec![], admin("operator")),
        (tls(Some((7, ci_name))), vec![], admin("operator")),
        (tls(Some((8, ci_name))), vec![], is("ci", Role::Read)),
        (tls(Some((8, &["ci.example.org.evil.example"]))), vec![], is("certificate", Role::Use)),
        (tls(Some((8, &[]))), vec![], is("certificate", Role::Use)),
        // Both: the token's identity with the lower role; nothing that is wrong is overlooked.
        (tls(Some((7, &[]))), vec![own.as_str()], admin("token")),
        (tls(Some((8, &[]))), vec![own.as_str()], is("token", Role::Use)),
        (tls(Some((7, &[]))), vec![ci.as_str()], is("ci", Role::Read)),
        (tls(Some((8, ci_name))), vec![own.as_str()], is("token", Role::Read)),
        (tls(Some((7, &[]))), vec![off.as_str()], Err(Denied::Unknown)),
        (tls(Some((7, &[]))), vec!["Basic dG9rZW46"], Err(Denied::Scheme)),
    ] {
        assert_eq!(who(&policy, peer.as_ref(), &shown), expected, "{peer:?} with {shown:?}");
    }
}

#[test]
fn a_certificate_that_is_nobodys_is_refused_where_that_is_no_role() {
    let dir = tempfile::tempdir().unwrap();
    let policy = Policy::new(&AccessSettings { client_role: None, ..settings(dir.path()) }).unwrap();
    let own = format!("Bearer {OWN}");
    let stranger = tls(Some((8, &[])));
    assert_eq!(who(&policy, stranger.as_ref(), &[]), Err(Denied::Certificate));
    assert_eq!(who(&policy, stranger.as_ref(), &[&own]), Err(Denied::Certificate));
    assert_eq!(who(&policy, tls(Some((7, &[]))).as_ref(), &[]), Ok(("operator".to_owned(), Role::Admin)));
}

#[test]
fn without_authentication_everybody_is_anonymous_but_for_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let policy =
        Policy::new(&AccessSettings { allow_unauthenticated: true, ..settings(dir.path()) }).unwrap();
    let anonymous = Ok(("anonymous".to_owned(), Role::Admin));
    assert_eq!(who(&policy, tcp().as_ref(), &[]), anonymous);
    assert_eq!(who(&policy, tcp().as_ref(), &["Bearer of-yesterday"]), anonymous);
    assert_eq!(who(&policy, unix(1003).as_ref(), &[]), Err(Denied::Uid));
}

#[test]
fn the_old_token_is_refused_from_the_next_request_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    token::load_or_create(&path).unwrap();
    let policy =
        Policy::new(&AccessSettings { token_path: Some(path.clone()), ..settings(dir.path()) }).unwrap();
    let bearer = || format!("Bearer {}", token::read(&path).unwrap().expose());
    let old = bearer();
    assert!(who(&policy, tcp().as_ref(), &[&old]).is_ok());
    token::rotate(&path).unwrap();
    assert_eq!(who(&policy, tcp().as_ref(), &[&old]), Err(Denied::Unknown));
    assert!(who(&policy, tcp().as_ref(), &[&bearer()]).is_ok());
}

#[test]
fn a_token_of_two_identities_is_worth_the_lower_role() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    keep(&dir.path().join("ci"), OWN);
    let policy = Policy::new(&settings).unwrap();
    let own = format!("Bearer {OWN}");
    assert_eq!(who(&policy, tcp().as_ref(), &[&own]), Ok(("ci".to_owned(), Role::Read)));
}

#[test]
fn a_policy_that_cannot_read_a_token_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let error = Policy::new(&AccessSettings { token_path: Some(missing.clone()), ..settings(dir.path()) })
        .unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read the token file `{}`", missing.display()));
}

#[test]
fn each_identity_has_its_own_pace() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    settings.rate = Rate { per_second: 10, burst: 2 };
    settings.identities[0].rate = Some(Rate { per_second: 1, burst: 1 });
    let policy = Policy::new(&settings).unwrap();
    let now = Instant::now();
    let pace = |uid| {
        let peer = unix(uid);
        policy.authenticate(peer.as_ref(), &HeaderMap::new()).unwrap().pace(now)
    };
    assert_eq!((pace(1001), pace(1000), pace(1000)), (Ok(()), Ok(()), Ok(())));
    assert!(matches!(pace(1002), Err(Refusal::Rate { wait }) if wait > Duration::from_millis(900)));
    assert!(matches!(pace(0), Err(Refusal::Rate { wait }) if wait <= Duration::from_millis(100)));
}

#[test]
fn nothing_shows_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let policy = Policy::new(&settings).unwrap();
    let shown = format!("{settings:?} {policy:?}");
    assert!(shown.contains("operator") && !shown.contains(OWN) && !shown.contains(CI), "{shown}");
}
