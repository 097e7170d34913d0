//! The operations as requests to a bucket.

use bytes::Bytes;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions,
    aws::AmazonS3,
    list::{PaginatedListOptions, PaginatedListStore},
    path::Path,
};

use super::{
    super::store::{Command, Entry, Facts, Listed, Outcome, Page, Place, Span},
    failure::{Refusal, failure, why},
};
use crate::{
    bindings::{circuit::Failure, payload::bad_request},
    host::{BoxError, HostCallError},
};

/// The content type that S3 tells of objects for which none was given.
const UNKNOWN_TYPE: &str = "binary/octet-stream";

/// Bytes of a key at most, as S3 has it.
const MAX_KEY: usize = 1024;

/// A bucket, or the part of it whose keys begin with a prefix.
pub(super) struct Requests {
    bucket: AmazonS3,
    prefix: String,
    max_object: u64,
}

type Done<T> = Result<T, Failure>;

impl Requests {
    pub(super) fn new(bucket: AmazonS3, prefix: String, max_object: u64) -> Self {
        Self { bucket, prefix, max_object }
    }

    /// Refuses a prefix with which no key would be one.
    pub(super) fn check_prefix(&self) -> Result<(), BoxError> {
        let key = format!("{}x", self.prefix);
        if Path::parse(&key)?.as_ref() != key {
            return Err("it begins with `/`".into());
        }
        Ok(())
    }

    /// Asks for something that needs the bucket, and the right to list it.
    pub(super) async fn probe(&self) -> Result<(), BoxError> {
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        self.bucket.list_paginated(Some(&self.prefix), options).await.map(drop).map_err(why)
    }

    /// Does one operation.
    pub(super) async fn run(&self, command: Command) -> Done<Outcome> {
        match command {
            Command::Put { place, data, only_if_absent, content_type } => {
                let mode = if only_if_absent { PutMode::Create } else { PutMode::Overwrite };
                let etag = self.put(&place, data, mode, content_type).await?;
                Ok(Outcome::Put { etag })
            }
            Command::Get { place, span } => self.get(&place, span).await,
            Command::Head(place) => Ok(Outcome::Head(self.head(&place).await?)),
            Command::List(page) => self.list(page).await.map(Outcome::Listed),
            Command::Delete(place) => self.delete(&place).await.map(Outcome::Deleted),
            Command::Copy { from, to, only_if_absent } => {
                self.copy(&from, &to, only_if_absent).await?;
                Ok(Outcome::Copied)
            }
        }
    }

    fn key(&self, place: &Place) -> Result<Path, HostCallError> {
        let key = format!("{}{}", self.prefix, place.key());
        if key.len() > MAX_KEY {
            let room = MAX_KEY.saturating_sub(key.len() - place.name.as_str().len());
            let text = format!(
                "the name has {} bytes, expected at most {room}: what the binding puts before it has the rest \
                                of the {MAX_KEY} that S3 takes",
                place.name.as_str().len()
            );
            return Err(bad_request(text));
        }
        Path::parse(&key).map_err(|error| bad_request(error.to_string()))
    }

    async fn put(
        &self,
        place: &Place,
        data: Bytes,
        mode: PutMode,
        content_type: Option<String>,
    ) -> Done<Option<String>> {
        let attributes = content_type.map(|text| (Attribute::ContentType, text)).into_iter().collect::<Attributes>();
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let put = self.bucket.put_opts(&self.key(place)?, data.into(), options).await;
        Ok(put.map_err(|error| failure(error, Some(place)))?.e_tag)
    }

    async fn get(&self, place: &Place, span: Span) -> Done<Outcome> {
        let range = match span {
            // S3 has no word for an empty range.
            Span { length: Some(0), .. } => return self.nothing(place).await,
            Span { offset: 0, length: None } => None,
            Span { offset, length: None } => Some(GetRange::Offset(offset)),
            Span { offset, length: Some(length) } => Some(GetRange::Bounded(offset..offset.saturating_add(length))),
        };
        match self.bucket.get_opts(&self.key(place)?, GetOptions { range, ..GetOptions::default() }).await {
            Ok(found) => self.read(place, found).await,
            Err(error) if Refusal::of(&error).is_some_and(|refusal| refusal.status == 416) => self.nothing(place).await,
            Err(error) => Err(failure(error, Some(place))),
        }
    }

    /// No bytes of an object that is there.
    async fn nothing(&self, place: &Place) -> Done<Outcome> {
        Ok(Outcome::Got { data: Bytes::new(), facts: self.head(place).await? })
    }

    async fn read(&self, place: &Place, found: GetResult) -> Done<Outcome> {
        let asked = found.range.end - found.range.start;
        place.check_size(asked, self.max_object)?;
        let facts = facts(&found.meta, &found.attributes);
        let data = found.bytes().await.map_err(|error| failure(error, Some(place)))?;
        if data.len() as u64 != asked {
            return Err(Failure::Server(format!("the store sent {} bytes of {asked}", data.len()).into()));
        }
        Ok(Outcome::Got { data, facts })
    }

    async fn head(&self, place: &Place) -> Done<Facts> {
        match self.bucket.get_opts(&self.key(place)?, GetOptions { head: true, ..GetOptions::default() }).await {
            Ok(found) => Ok(facts(&found.meta, &found.attributes)),
            Err(error) => {
                if Refusal::of(&error).is_some_and(|refusal| refusal.status == 404) {
                    // The answer to `HEAD` does not say what is missing, the object or the bucket.
                    self.probe().await.map_err(Failure::Server)?;
                }
                Err(failure(error, Some(place)))
            }
        }
    }

    async fn list(&self, page: Page) -> Done<Listed> {
        let scope = format!("{}{}/", self.prefix, page.scope.path());
        let prefix = format!("{scope}{}", page.prefix);
        let mut options = PaginatedListOptions {
            offset: (!page.after.is_empty()).then(|| format!("{scope}{}", page.after)),
            max_keys: Some(page.limit),
            ..PaginatedListOptions::default()
        };
        let mut listed = Listed::default();
        loop {
            let asked = self.bucket.list_paginated(Some(&prefix), options.clone()).await;
            let found = asked.map_err(|error| failure(error, None))?;
            let objects = found.result.objects.into_iter().filter_map(|meta| entry(&scope, &meta));
            listed.objects.extend(objects);
            options.page_token = found.page_token;
            if options.page_token.is_none() {
                return Ok(listed);
            }
            if let Some(last) = listed.objects.last() {
                listed.next = Some(last.name.clone());
                return Ok(listed);
            }
        }
    }

    async fn delete(&self, place: &Place) -> Done<bool> {
        // S3 does not say whether there was something to delete.
        match self.head(place).await {
            Ok(_) => {}
            Err(Failure::Request(error)) if error.kind == crate::host::HostErrorKind::NotFound => return Ok(false),
            Err(failure) => return Err(failure),
        }
        match self.bucket.delete(&self.key(place)?).await.map_err(|error| failure(error, Some(place))) {
            Ok(()) => Ok(true),
            Err(Failure::Request(error)) if error.kind == crate::host::HostErrorKind::NotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn copy(&self, from: &Place, to: &Place, only_if_absent: bool) -> Done<()> {
        if only_if_absent {
            // Few stores know a condition for a copy, all that know one for `PUT` keep this promise.
            let Outcome::Got { data, facts } = self.get(from, Span { offset: 0, length: None }).await? else {
                return Ok(());
            };
            self.put(to, data, PutMode::Create, facts.content_type).await?;
            return Ok(());
        }
        from.check_size(self.head(from).await?.size, self.max_object)?;
        let copied = self.bucket.copy(&self.key(from)?, &self.key(to)?).await;
        copied.map_err(|error| failure(error, Some(from)))
    }
}

fn facts(meta: &ObjectMeta, attributes: &Attributes) -> Facts {
    let content_type = attributes.get(&Attribute::ContentType).map(|text| text.as_ref().to_owned());
    Facts {
        size: meta.size,
        modified: meta.last_modified.timestamp_millis(),
        etag: meta.e_tag.clone(),
        content_type: content_type.filter(|text| text != UNKNOWN_TYPE),
    }
}

fn entry(scope: &str, meta: &ObjectMeta) -> Option<Entry> {
    let name = meta.location.as_ref().strip_prefix(scope)?.to_owned();
    Some(Entry { name, size: meta.size, modified: meta.last_modified.timestamp_millis() })
}
