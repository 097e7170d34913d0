//! A `blob` binding.

use super::{Places, belongs, server};
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::{BlobBackend, BlobSettings},
    reader::{Node, Problem, Section},
};

#[derive(Clone, Copy, PartialEq)]
enum Backend {
    Directory,
    Memory,
    S3,
}

const BACKENDS: &[(&str, Backend)] =
    &[("directory", Backend::Directory), ("memory", Backend::Memory), ("s3", Backend::S3)];

const S3: server::Kind =
    server::Kind { schemes: &["http", "https"], example: "https://s3.eu-central-1.amazonaws.com", several: false };

/// Reads what belongs to the type.
pub(super) fn read(section: &Section<'_>, name: &str, places: Places<'_>) -> BlobSettings {
    let backend = section.or("backend", Backend::Directory, |node| node.choice(BACKENDS));
    let owned = |node: &Node<'_>, owner| belongs(node, backend, &[owner], BACKENDS);
    let path = section.or("path", defaults::blob_path(places.state_dir, name), |node| {
        owned(node, Backend::Directory)?;
        node.path_in(places.state_dir)
    });
    let max_bytes = section.or("max_bytes", defaults::BLOB_MAX_BYTES, |node| {
        owned(node, Backend::Memory)?;
        node.size(&bounds::MEMORY_MAX_BYTES)
    });
    let text = |key, default: &str, what| {
        section.or(key, default.to_owned(), |node| {
            owned(node, Backend::S3)?;
            node.text_without_nul(what).map(str::to_owned)
        })
    };
    let bucket = text("bucket", "", "the name of a bucket");
    let region = text("region", defaults::S3_REGION, "the name of a region");
    let prefix = text("prefix", "", "what stands before the name of every object");
    let backend = match backend {
        Backend::Directory => BlobBackend::Directory { path },
        Backend::Memory => BlobBackend::Memory { max_bytes },
        Backend::S3 => {
            if let Some(node) = section.require("bucket", "the name of a bucket")
                && bucket.is_empty()
                && node.is_text()
            {
                node.bad::<()>(ConfigErrorKind::BadValue, "the name of a bucket", None);
            }
            let server = server::read(section, &S3, places);
            check_pair(section);
            BlobBackend::S3 { server, bucket, region, prefix }
        }
    };
    if !matches!(backend, BlobBackend::S3 { .. }) {
        server::refuse(section, "\"s3\"");
    }
    BlobSettings {
        backend,
        max_object: section.or("max_object", defaults::BLOB_MAX_OBJECT, |node| node.size(&bounds::BLOB_MAX_OBJECT)),
    }
}

/// Refuses half of an access key: requests would go out unsigned.
fn check_pair(section: &Section<'_>) {
    if let (Some(alone), None) | (None, Some(alone)) = (section.get("user"), section.get("password")) {
        alone.problem::<()>(Problem {
            kind: ConfigErrorKind::Conflict,
            found: "one of `user` and `password` without the other".to_owned(),
            expected: "both `user`, the id of the access key, and `password`, its secret, or neither".to_owned(),
            hint: None,
        });
    }
}
