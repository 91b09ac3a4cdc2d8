//! What a container is called.

use std::fmt;
use std::sync::Arc;

use crate::id::ServiceKey;

/// Digits of an id that stand for a container whose runtime says nothing of it; as many as the runtimes themselves show.
const SHORT: usize = 12;
/// The longest name that is taken from a runtime's record, in bytes: a reference to an image has at most 255 before its tag of 128.
const NAME_MAX: usize = 400;

/// A container, as its control group tells of it.
///
/// The group says which container, never what it is called: that is in its runtime's records ([`Record`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Container {
    id: Arc<str>,
    user: Option<u32>,
}

/// What a runtime wrote down about a container; whatever it did not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The image, as it was asked for: `nginx`, `docker.io/library/nginx:1.25`, `nginx@sha256:…`, or an image's id.
    pub image: String,
    /// The image's id, 64 digits with or without `sha256:` before them.
    pub image_id: String,
    /// The container's name; docker writes a `/` before it.
    pub name: String,
    /// Kubernetes' namespace and the container's name in its pod; `POD` for the container that only holds the pod's namespaces.
    pub pod: Option<(String, String)>,
}

impl Container {
    /// A container of 64 hexadecimal digits; `user` is whose service manager runs it, `None` for the host's. `None` if `id` is no such id.
    #[must_use]
    pub fn new(id: &str, user: Option<u32>) -> Option<Self> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (id.len() == 64 && id.bytes().all(digits)).then(|| Self { id: Arc::from(id), user })
    }

    /// Its 64 digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whose it is, if it is not the host's own.
    #[must_use]
    pub fn user(&self) -> Option<u32> {
        self.user
    }

    /// The service that it is, by what its runtime says of it; `None` if the runtime says nothing.
    ///
    /// In Kubernetes `container:k8s:NAMESPACE/NAME`, as an image there changes with every release and one image, such as a proxy's, runs in
    /// many pods; else the image without its digest; else the container's name; else the first 12 digits of its id. A user's own container
    /// begins with `~UID/`, so that it never passes for the host's. Only what an image or a container can be called is taken.
    #[must_use]
    pub fn key(&self, record: Option<&Record>) -> ServiceKey {
        let name = record.and_then(called).unwrap_or_else(|| self.id[..SHORT].to_owned());
        match self.user {
            Some(uid) => ServiceKey::container(&format!("~{uid}/{name}")),
            None => ServiceKey::container(&name),
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

fn called(record: &Record) -> Option<String> {
    if let Some((namespace, name)) = &record.pod
        && is_label(namespace)
        && is_label(name)
    {
        return Some(format!("k8s:{namespace}/{name}"));
    }
    let image = record.image.split_once('@').map_or(record.image.as_str(), |(image, _)| image);
    let is_id = |text: &str| {
        let text = text.strip_prefix("sha256:").unwrap_or(text);
        let known = record.image_id.strip_prefix("sha256:").unwrap_or(&record.image_id);
        text.len() == 64 && is_hex(text) || (is_hex(text) && known.starts_with(text))
    };
    if is_reference(image) && !is_id(image) {
        return Some(image.to_owned());
    }
    let name = record.name.strip_prefix('/').unwrap_or(&record.name);
    (is_label(name) && !looks_like_id(name)).then(|| name.to_owned())
}

/// Letters, digits, `.`, `_` and `-`: what names of containers are made of in every runtime.
fn is_label(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !text.is_empty() && text.len() <= NAME_MAX && text.bytes().all(good)
}

/// A host with a port, a path and a tag (the distribution project's reference.go), in the wide sense: no letter that could mislead.
fn is_reference(text: &str) -> bool {
    let parts = |part: &str| is_label(&part.replace(':', "."));
    text.len() <= NAME_MAX
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && !text.starts_with("k8s:")
        && text.split('/').all(parts)
        && !looks_like_id(text)
}

/// Names that could be taken for a container that has none.
fn looks_like_id(text: &str) -> bool {
    text.len() == SHORT && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}
