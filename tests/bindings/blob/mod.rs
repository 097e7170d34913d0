//! The `blob` binding: one suite of conformance for every backend, and what only some of them can suffer.

mod conformance;
mod directory;
mod s3;

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use wapcd::config::{Binding, BindingSettings, BlobBackend, BlobSettings, Server};

use crate::{
    harness::{Bin, Format, Opened, open},
    servers::S3,
};

/// Bytes of an object at most, in every backend of these tests.
const MAX_OBJECT: u64 = 64 * 1024;

fn binding(backend: BlobBackend) -> Binding {
    Binding::with_defaults("files", BindingSettings::Blob(BlobSettings { backend, max_object: MAX_OBJECT }))
}

fn directory(path: &Path) -> Binding {
    binding(BlobBackend::Directory { path: path.to_owned() })
}

fn s3(server: Server) -> Binding {
    binding(BlobBackend::S3 {
        server,
        bucket: S3::BUCKET.to_owned(),
        region: S3::REGION.to_owned(),
        prefix: "data/".to_owned(),
    })
}

/// What `get` and `head` answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Got {
    #[serde(default)]
    data: Option<Bin>,
    size: u64,
    modified: i64,
    etag: Option<String>,
    content_type: Option<String>,
}

impl Got {
    fn bytes(self) -> Vec<u8> {
        self.data.unwrap().0
    }
}

async fn put(opened: &Opened, module: &str, name: &str, data: &[u8]) -> Result<Value, String> {
    #[derive(serde::Serialize)]
    struct Put<'p> {
        name: &'p str,
        data: Bin,
    }
    opened.ask(Format::MessagePack, module, "put", &Put { name, data: Bin(data.to_owned()) }).await
}

async fn get(opened: &Opened, module: &str, name: &str) -> Result<Vec<u8>, String> {
    opened.ask(Format::MessagePack, module, "get", &json!({"name": name})).await.map(Got::bytes)
}

/// The names of all objects, by pages of this size.
async fn names(opened: &Opened, module: &str, request: &Value, limit: usize) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut request = request.clone();
    request["limit"] = limit.into();
    loop {
        let page = opened.call(module, "list", request.clone()).await.unwrap();
        let objects = page["objects"].as_array().unwrap();
        assert!(objects.len() <= limit, "{page}");
        names.extend(objects.iter().map(|object| object["name"].as_str().unwrap().to_owned()));
        let Some(next) = page.get("next") else { return names };
        assert_eq!((objects.len(), next.as_str()), (limit, names.last().map(String::as_str)), "{page}");
        request["after"] = next.clone();
    }
}

#[actix::test]
async fn memory_keeps_what_a_blob_binding_promises() {
    conformance::all(&open(&binding(BlobBackend::Memory { max_bytes: 1 << 24 }))).await;
}

#[actix::test]
async fn a_directory_keeps_what_a_blob_binding_promises() {
    let place = tempfile::tempdir().unwrap();
    conformance::all(&open(&directory(&place.path().join("blobs")))).await;
}

#[actix::test]
async fn s3_keeps_what_a_blob_binding_promises() {
    let server = S3::start();
    conformance::all(&open(&s3(server.server()))).await;
}
