//! An API server that is made up: it keeps objects in memory, tells watchers of them, and can be made to do what a real
//! one does seldom: to refuse, to do something and have nobody hear of it, to forget a version, to say nothing at all.

mod world;

use std::sync::{Arc, Mutex, PoisonError};

use openshell_driver_api::{ComputeDriver, DriverError, Table};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver};

pub(crate) use self::world::{Failure, World};

/// A server and a driver on it.
pub(crate) struct Fake {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) driver: Arc<dyn ComputeDriver>,
    server: tokio::task::JoinHandle<()>,
    _kubeconfig: tempfile::TempDir,
}

impl Fake {
    pub(crate) async fn new(config: &str) -> Self {
        Self::serving(config, &[]).await.unwrap_or_else(|error| panic!("a driver: {error:?}"))
    }

    /// A server that also serves these versions of agent-sandbox.
    pub(crate) async fn serving(config: &str, agent: &[&'static str]) -> Result<Self, DriverError> {
        Self::of_version(config, agent, "v1.33.0-fake").await
    }

    /// A server that says that it is of a version.
    pub(crate) async fn of_version(
        config: &str,
        agent: &[&'static str],
        git_version: &'static str,
    ) -> Result<Self, DriverError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let world = Arc::new(Mutex::new(World {
            version: 10,
            oldest: 10,
            agent: agent.to_vec(),
            git_version,
            ..World::default()
        }));
        let serving = Arc::clone(&world);
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        let kubeconfig = tempfile::tempdir().expect("a directory");
        let path = kubeconfig.path().join("config");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{ "name": "fake", "cluster": { "server": format!("http://{address}") } }],
            "contexts": [{ "name": "fake", "context": { "cluster": "fake", "user": "fake" } }],
            "users": [{ "name": "fake", "user": {} }],
        });
        std::fs::write(&path, text.to_string()).expect("a file");
        let mut table: Table = config.parse().expect("the test's configuration");
        table.insert("kubeconfig".to_owned(), path.to_str().expect("a UTF-8 path").into());
        table.insert("namespace".to_owned(), "fake".into());
        let driver = crate::bench::open("gw", &table).await?;
        Ok(Self { world, driver, server, _kubeconfig: kubeconfig })
    }

    /// The server's world, to look at or to change.
    pub(crate) fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

enum Reply {
    Answer(u16, Value),
    Stream(Vec<String>, Option<UnboundedReceiver<String>>),
    Nothing,
    Cut,
}

async fn serve(stream: TcpStream, world: Arc<Mutex<World>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.trim().is_empty() {
                break;
            }
            if head.is_empty() {
                head = line;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.expect("a body");
        let mut words = head.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let reply = reply(&mut world.lock().unwrap_or_else(PoisonError::into_inner), method, target, body);
        let written = match reply {
            Reply::Nothing => std::future::pending().await,
            Reply::Cut => return,
            Reply::Answer(status, body) => {
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all(format!("{head}{body}").as_bytes()).await
            }
            Reply::Stream(first, more) => {
                watch(stream, first, more).await;
                return;
            }
        };
        if written.is_err() {
            return;
        }
    }
}

async fn watch(
    mut stream: BufReader<TcpStream>,
    first: Vec<String>,
    more: Option<UnboundedReceiver<String>>,
) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |line: &str| format!("{:x}\r\n{line}\r\n", line.len());
    let _ = stream.write_all(head.as_bytes()).await;
    for line in &first {
        let _ = stream.write_all(chunk(line).as_bytes()).await;
    }
    if let Some(mut more) = more {
        let mut byte = [0];
        loop {
            tokio::select! {
                line = more.recv() => match line {
                    Some(line) if stream.write_all(chunk(&line).as_bytes()).await.is_ok() => {}
                    Some(_) => return,
                    None => break,
                },
                // The other end says nothing; it can only have gone.
                _ = stream.get_mut().read(&mut byte) => return,
            }
        }
    }
    let _ = stream.write_all(b"0\r\n\r\n").await;
}

fn status(code: u16, message: &str) -> Reply {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        _ => "",
    };
    Reply::Answer(
        code,
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": reason }),
    )
}

fn reply(world: &mut World, method: &str, target: &str, body: Value) -> Reply {
    world.log.push(format!("{method} {target}"));
    if world.hang.as_ref().is_some_and(|text| format!("{method} {target}").contains(text.as_str())) {
        return Reply::Nothing;
    }
    if target == "/version" {
        let version = json!({ "major": "1", "minor": "33", "gitVersion": world.git_version, "gitCommit": "", "gitTreeState": "",
            "buildDate": "", "goVersion": "", "compiler": "", "platform": "" });
        return Reply::Answer(200, version);
    }
    if let Some(version) = target.strip_prefix("/apis/agents.x-k8s.io/").filter(|rest| !rest.contains('/')) {
        if !world.agent.contains(&version) {
            return status(404, "the server could not find the requested resource");
        }
        let kind = json!({ "name": "sandboxes", "singularName": "", "namespaced": true, "kind": "Sandbox", "verbs": [] });
        let list = json!({ "kind": "APIResourceList", "groupVersion": format!("agents.x-k8s.io/{version}"), "resources": [kind] });
        return Reply::Answer(200, list);
    }
    if let Some((code, message)) = world.down.clone() {
        return status(code, &message);
    }
    if method == "GET" {
        return answer(world, method, target, body);
    }
    world.changes += 1;
    match world.fail.clone() {
        Some((which, Failure::Refused)) if which.contains(&world.changes) => status(503, "not now"),
        Some((which, Failure::Unheard)) if which.contains(&world.changes) => {
            answer(world, method, target, body);
            Reply::Cut
        }
        _ => answer(world, method, target, body),
    }
}

fn answer(world: &mut World, method: &str, target: &str, body: Value) -> Reply {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let asked = |key: &str| {
        query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default()
    };
    let mut parts = path.split('/').skip_while(|part| *part != "namespaces").skip(2);
    let kind = parts.next().unwrap_or_default().to_owned();
    let Some(name) = parts.next() else {
        return match method {
            "POST" => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                match world.objects.contains_key(&(kind.clone(), name)) {
                    true => status(409, "already exists"),
                    false => {
                        let made = world.put(&kind, body);
                        let answer = if world.nonsense == Some(kind.as_str()) { json!("what") } else { made };
                        Reply::Answer(201, answer)
                    }
                }
            }
            _ if asked("watch") == "true" => follow(world, &kind, asked("resourceVersion")),
            _ => list(world, &kind, asked("limit"), asked("continue")),
        };
    };
    let key = (kind.clone(), name.to_owned());
    let Some(found) = world.objects.get(&key).cloned() else {
        return status(404, &format!("{kind} \"{name}\" not found"));
    };
    let uid = &found["metadata"]["uid"];
    match method {
        "GET" => Reply::Answer(200, found),
        "PATCH" if !body["metadata"]["uid"].is_null() && body["metadata"]["uid"] != *uid => {
            status(409, "another uid")
        }
        "PATCH" => {
            let mut object = found;
            merge(&mut object, &body);
            Reply::Answer(200, world.put(&kind, object))
        }
        "DELETE" if !body["preconditions"]["uid"].is_null() && body["preconditions"]["uid"] != *uid => {
            status(409, "another uid")
        }
        "DELETE" if kind == "pods" && world.silent_nodes && body["gracePeriodSeconds"] != 0 => {
            let mut object = found;
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            object["metadata"]["deletionGracePeriodSeconds"] = body["gracePeriodSeconds"].clone();
            Reply::Answer(200, world.put(&kind, object))
        }
        "DELETE" => {
            world.remove(&kind, name);
            Reply::Answer(200, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
        }
        _ => status(405, "no such method"),
    }
}

fn merge(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (object, patch) => *object = patch.clone(),
    }
}

fn list(world: &World, kind: &str, limit: &str, from: &str) -> Reply {
    let all: Vec<&Value> =
        world.objects.iter().filter(|((of, _), _)| of == kind).map(|(_, object)| object).collect();
    let (limit, from) = (limit.parse().unwrap_or(usize::MAX), from.parse().unwrap_or(0));
    let page: Vec<&&Value> = all.iter().skip(from).take(limit).collect();
    let next = from + page.len();
    let next = if next < all.len() { next.to_string() } else { String::new() };
    let meta = json!({ "resourceVersion": world.version.to_string(), "continue": next });
    Reply::Answer(200, json!({ "kind": "List", "apiVersion": "v1", "metadata": meta, "items": page }))
}

fn follow(world: &mut World, kind: &str, from: &str) -> Reply {
    let from: u64 = from.parse().unwrap_or(0);
    if from < world.oldest {
        let gone = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "message": "too old", "reason": "Expired" });
        return Reply::Stream(vec![format!("{}\n", json!({ "type": "ERROR", "object": gone }))], None);
    }
    let missed = world.history.iter().filter(|(version, of, _)| *version > from && of == kind);
    let missed = missed.map(|(.., line)| line.clone()).collect();
    let (to, more) = mpsc::unbounded_channel();
    world.watchers.push((kind.to_owned(), to));
    Reply::Stream(missed, Some(more))
}
