//! What container runtimes write down about a container: pure readers of their files.
//!
//! Each of these files is complete before the runtime makes the container's control group: docker saves its configuration when the
//! container is created, containerd writes the bundle before it calls the shim, podman and CRI-O store theirs before they call the OCI runtime.

use std::collections::HashMap;

use cnnf_core::identity::Record;
use serde::Deserialize;

/// docker's `containers/ID/config.v2.json` (`Container` in moby's daemon/container/container.go): `Name` begins with a `/`, `Image` is the
/// image's id, and `Config.Image` what the operator asked for. `None` if it is no such file.
#[must_use]
pub fn docker(json: &[u8]) -> Option<Record> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct File {
        name: String,
        #[serde(default)]
        image: String,
        config: Config,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Config {
        #[serde(default)]
        image: String,
        labels: Option<HashMap<String, String>>,
    }
    let file: File = serde_json::from_slice(json).ok()?;
    let pod = file.config.labels.and_then(|labels| pod_by_labels(&labels));
    Some(Record { image: file.config.image, image_id: file.image, name: file.name, pod })
}

/// An OCI bundle's `config.json` (opencontainers/runtime-spec, `annotations`), as containerd, nerdctl and CRI-O annotate it.
/// `None` if nobody did: podman writes the name elsewhere ([`storage`]).
#[must_use]
pub fn bundle(json: &[u8]) -> Option<Record> {
    #[derive(Deserialize)]
    struct File {
        annotations: HashMap<String, String>,
    }
    let annotations = serde_json::from_slice::<File>(json).ok()?.annotations;
    let text = |key: &str| annotations.get(key).cloned().unwrap_or_default();
    // containerd: internal/cri/annotations
    if let Some(namespace) = annotations.get("io.kubernetes.cri.sandbox-namespace") {
        let name = match annotations.get("io.kubernetes.cri.container-name") {
            Some(name) => name.clone(),
            None if text("io.kubernetes.cri.container-type") == "sandbox" => POD.to_owned(),
            None => return None,
        };
        let image = text("io.kubernetes.cri.image-name");
        return Some(Record { image, pod: Some((namespace.clone(), name)), ..Record::default() });
    }
    // CRI-O: internal/annotations; the labels are the kubelet's, as one text
    if let Some(labels) = annotations.get("io.kubernetes.cri-o.Labels") {
        let labels: HashMap<String, String> = serde_json::from_str(labels).unwrap_or_default();
        let name = text("io.kubernetes.cri-o.Name");
        let image = text("io.kubernetes.cri-o.ImageName");
        return Some(Record { image, name, pod: pod_by_labels(&labels), ..Record::default() });
    }
    // nerdctl: pkg/labels
    let name = annotations.get("nerdctl/name")?;
    Some(Record { name: name.clone(), ..Record::default() })
}

/// `…-containers/containers.json` of containers/storage, which podman and CRI-O share: every container, by its id. Their own words are a
/// JSON text in `metadata` (`RuntimeContainerMetadata` in podman's libpod/storage.go). `None` if it is no such file.
#[must_use]
pub fn storage(json: &[u8]) -> Option<HashMap<String, Record>> {
    #[derive(Deserialize)]
    struct Stored {
        id: String,
        #[serde(default)]
        names: Vec<String>,
        #[serde(default)]
        image: String,
        #[serde(default)]
        metadata: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "kebab-case")]
    struct Metadata {
        image_name: String,
        name: String,
    }
    let all: Vec<Stored> = serde_json::from_slice(json).ok()?;
    let record = |stored: Stored| {
        let metadata: Metadata = serde_json::from_str(&stored.metadata).unwrap_or_default();
        let name =
            if metadata.name.is_empty() { stored.names.into_iter().next().unwrap_or_default() } else { metadata.name };
        (stored.id, Record { image: metadata.image_name, image_id: stored.image, name, pod: None })
    };
    Some(all.into_iter().map(record).collect())
}

/// What the kubelet calls the container that only holds a pod's namespaces.
const POD: &str = "POD";

/// The kubelet's labels (kubelet/pkg/types in Kubernetes); dockershim and cri-dockerd put them on docker's containers, too.
fn pod_by_labels(labels: &HashMap<String, String>) -> Option<(String, String)> {
    let namespace = labels.get("io.kubernetes.pod.namespace")?;
    Some((namespace.clone(), labels.get("io.kubernetes.container.name").map_or(POD, String::as_str).to_owned()))
}

#[cfg(test)]
mod tests {
    use cnnf_core::identity::Container;
    use proptest::prelude::*;

    use super::*;

    fn key(record: Option<&Record>) -> String {
        let container = Container::new(&"0123456789abcdef".repeat(4), None).expect("id");
        container.key(record).to_string()
    }

    /// Captured from podman 4.3.1 on Debian 12: a container of an image, one by the image's id (podman finds its name), one of a root file
    /// system.
    #[test]
    fn podmans_own_file_is_read() {
        let all = storage(include_bytes!("fixtures/podman-containers.json")).expect("podman's file");
        let keys: std::collections::BTreeSet<String> = all.values().map(|record| key(Some(record))).collect();
        assert_eq!(all.len(), 3);
        let want = ["container:docker.io/library/shop:1.2", "container:bare"];
        assert_eq!(keys, want.map(str::to_owned).into(), "{all:?}");
        assert_eq!(bundle(include_bytes!("fixtures/podman-config.json")), None, "its bundle has no name");
    }

    /// Written after the structures named above.
    #[test]
    fn dockers_file_is_read() {
        let text = |image: &str, labels: &str| {
            format!(
                r#"{{"StreamConfig":{{}},"State":{{"Running":true,"Pid":77}},"ID":"01","Created":"2026-01-02T03:04:05Z","Managed":false,
                "Path":"nginx","Args":[],"Config":{{"Hostname":"0123456789ab","Env":["A=b"],"Image":"{image}","Labels":{labels}}},
                "Image":"sha256:4d81f29803bf16414c3ddfc38e2bee49b94e9db2807fd01c97200c7ccc217335","NetworkSettings":{{"Bridge":""}},
                "Name":"/shop-web-1","Driver":"overlay2","MountPoints":{{}}}}"#
            )
        };
        let compose = r#"{"com.docker.compose.project":"shop","com.docker.compose.service":"web"}"#;
        let kube = r#"{"io.kubernetes.pod.namespace":"shop","io.kubernetes.container.name":"web"}"#;
        for (image, labels, want) in [
            ("nginx:1.25", "{}", "container:nginx:1.25"),
            ("nginx:1.25", "null", "container:nginx:1.25"),
            ("shop-web", compose, "container:shop-web"),
            ("nginx@sha256:4d81", "{}", "container:nginx"),
            ("4d81f2980", "{}", "container:shop-web-1"),
            ("sha256:4d81f29803bf16414c3ddfc38e2bee49b94e9db2807fd01c97200c7ccc217335", "{}", "container:shop-web-1"),
            ("registry/web@sha256:4d81", kube, "container:k8s:shop/web"),
        ] {
            assert_eq!(key(docker(text(image, labels).as_bytes()).as_ref()), want, "{image} {labels}");
        }
    }

    /// Written after the annotations' sources named above.
    #[test]
    fn bundles_are_read() {
        for (annotations, want) in [
            (
                r#"{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"web","io.kubernetes.cri.image-name":"docker.io/library/nginx:1.25","io.kubernetes.cri.sandbox-id":"77","io.kubernetes.cri.sandbox-name":"web-7d4-x2","io.kubernetes.cri.sandbox-namespace":"shop"}"#,
                "container:k8s:shop/web",
            ),
            (
                r#"{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.podsandbox.image-name":"registry.k8s.io/pause:3.9","io.kubernetes.cri.sandbox-namespace":"shop"}"#,
                "container:k8s:shop/POD",
            ),
            (
                r#"{"io.kubernetes.cri-o.Labels":"{\"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.container.name\":\"web\"}","io.kubernetes.cri-o.ImageName":"quay.io/x/web:1","io.kubernetes.cri-o.Name":"k8s_web_0"}"#,
                "container:k8s:shop/web",
            ),
            (
                r#"{"io.kubernetes.cri-o.Labels":"nonsense","io.kubernetes.cri-o.ImageName":"quay.io/x/web:1","io.kubernetes.cri-o.Name":"web"}"#,
                "container:quay.io/x/web:1",
            ),
            (r#"{"nerdctl/name":"web-f00","nerdctl/namespace":"default"}"#, "container:web-f00"),
        ] {
            let file = format!(r#"{{"ociVersion":"1.1.0","process":{{"args":["x"]}},"annotations":{annotations}}}"#);
            assert_eq!(key(bundle(file.as_bytes()).as_ref()), want, "{annotations}");
        }
        for nothing in [r#"{"annotations":{}}"#, r#"{"ociVersion":"1.1.0"}"#, r#"{"annotations":{"nerdctl/name":7}}"#] {
            assert_eq!(bundle(nothing.as_bytes()), None, "{nothing}");
        }
    }

    #[test]
    fn hostile_files_are_refused() {
        let deep = "[".repeat(1 << 20);
        let other = r#"{"Name":7,"Config":[]}"#;
        for text in ["", "{", "null", "[]x", "\u{0}", deep.as_str(), other] {
            assert_eq!((docker(text.as_bytes()), bundle(text.as_bytes())), (None, None));
            assert_eq!(storage(text.as_bytes()), None);
        }
        let huge = format!(r#"[{{"id":"a","metadata":"{{\"image-name\":\"{}\"}}"}}]"#, "x".repeat(1 << 20));
        let all = storage(huge.as_bytes()).expect("well formed");
        assert_eq!(key(all.get("a")), "container:0123456789ab", "no name is that long");
        assert_eq!(storage(br#"[{"id":"a","metadata":"[[["}]"#).expect("well formed")["a"], Record::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (docker(&bytes), bundle(&bytes), storage(&bytes));
        }
    }
}
