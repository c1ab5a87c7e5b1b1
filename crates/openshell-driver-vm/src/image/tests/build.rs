//! Archives and images made byte by byte, also such as no program makes.

use std::io::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::image::stream::digest_text;
use crate::image::tar::Source;

impl Source for &[u8] {}

/// An archive that is being made.
#[derive(Debug, Clone, Default)]
pub(in crate::image) struct Tar(Vec<u8>);

/// One header; what a test does not set is ordinary.
#[derive(Debug, Clone)]
pub(in crate::image) struct Head {
    pub(in crate::image) name: Vec<u8>,
    pub(in crate::image) kind: u8,
    pub(in crate::image) mode: u32,
    pub(in crate::image) uid: u32,
    pub(in crate::image) size: u64,
    pub(in crate::image) link: Vec<u8>,
}

impl Head {
    pub(in crate::image) fn new(name: impl AsRef<[u8]>, kind: u8) -> Self {
        Self { name: name.as_ref().to_vec(), kind, mode: 0o644, uid: 0, size: 0, link: Vec::new() }
    }

    pub(in crate::image) fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, format!("{:07o}", self.uid).as_bytes());
        put(116, b"0000000");
        put(124, format!("{:011o}", self.size).as_bytes());
        put(136, b"12345670123");
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

impl Tar {
    /// A header and the data behind it, as they are.
    pub(in crate::image) fn put(mut self, head: &Head, data: &[u8]) -> Self {
        self.0.extend_from_slice(&head.block());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(in crate::image) fn file(self, name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        let data = data.as_ref();
        self.put(&Head { size: data.len() as u64, ..Head::new(name, b'0') }, data)
    }

    pub(in crate::image) fn directory(self, name: &str) -> Self {
        self.put(&Head { mode: 0o755, ..Head::new(name, b'5') }, b"")
    }

    pub(in crate::image) fn link(self, kind: u8, name: &str, to: &str) -> Self {
        self.put(&Head { link: to.into(), ..Head::new(name, kind) }, b"")
    }

    /// An extended header for the next entry.
    pub(in crate::image) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            // Its own digits count.
            let rest = key.len() + value.len() + 3;
            let length =
                (rest + 1..).find(|length| length.to_string().len() + rest == *length).expect("a length");
            data.extend_from_slice(format!("{length} {key}=").as_bytes());
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.put(&Head { size: data.len() as u64, ..Head::new("pax", b'x') }, &data)
    }

    /// The bytes, without an end marker.
    pub(in crate::image) fn open(self) -> Vec<u8> {
        self.0
    }

    /// The bytes of a whole archive.
    pub(in crate::image) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// The digest of bytes.
pub(in crate::image) fn digest(bytes: &[u8]) -> String {
    digest_text(&Sha256::digest(bytes))
}

pub(in crate::image) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

pub(in crate::image) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// How an image's configuration is written.
pub(in crate::image) fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let architecture = crate::image::manifest::architecture();
    serde_json::to_vec(&serde_json::json!({
        "architecture": architecture, "os": "linux",
        "config": {"Entrypoint": ["/bin/entry"], "Cmd": ["arg"], "Env": ["A=1"], "User": "1000:1000", "WorkingDir": "/w"},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }))
    .expect("JSON")
}

/// What `docker save` writes of these layers, plain ones, under a tag.
pub(in crate::image) fn docker_save(tag: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let config = config(layers);
    let name = format!("{}.json", digest(&config).trim_start_matches("sha256:"));
    let mut tar = Tar::default();
    let mut names = Vec::new();
    for layer in layers {
        let name = format!("{}/layer.tar", digest(layer).trim_start_matches("sha256:"));
        tar = tar.file(&name, layer);
        names.push(name);
    }
    let manifest = serde_json::json!([{"Config": name, "RepoTags": [tag], "Layers": names}]);
    tar.file(&name, config).file("manifest.json", manifest.to_string()).end()
}

/// The files of an OCI layout of these layers, each packed by `pack`, and the digest of its manifest.
pub(in crate::image) fn oci(
    layers: &[Vec<u8>],
    pack: fn(&[u8]) -> Vec<u8>,
) -> (Vec<(String, Vec<u8>)>, String) {
    let blob = |bytes: Vec<u8>| (format!("blobs/{}", digest(&bytes).replace(':', "/")), bytes);
    let descriptor = |bytes: &[u8], kind: &str| serde_json::json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(bytes), "size": bytes.len()});
    let config = config(layers);
    let packed: Vec<Vec<u8>> = layers.iter().map(|layer| pack(layer)).collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": descriptor(&config, "config.v1+json"),
        "layers": packed.iter().map(|layer| descriptor(layer, "layer.v1.tar")).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string().into_bytes();
    let index =
        serde_json::json!({"schemaVersion": 2, "manifests": [descriptor(&manifest, "manifest.v1+json")]});
    let digest = digest(&manifest);
    let mut files = vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion": "1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index.to_string().into_bytes()),
        blob(manifest),
        blob(config),
    ];
    files.extend(packed.into_iter().map(blob));
    (files, digest)
}

/// Writes files below a directory.
pub(in crate::image) fn write_all(root: &Path, files: &[(String, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, bytes).expect("a file");
    }
}

/// Numbers that are the same in every run and have no order to them.
#[derive(Debug)]
pub(in crate::image) struct Dice(pub(in crate::image) u64);

impl Dice {
    /// A number below `most`.
    pub(in crate::image) fn roll(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % most as u64).expect("a small number")
    }
}
