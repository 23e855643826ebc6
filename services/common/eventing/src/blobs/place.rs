//! Where blobs are: a folder, or a bucket of S3 (or what speaks like it), Google Cloud Storage or Azure.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::TryStreamExt;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder, path::Path as Key, prefix::PrefixStore,
};
use serde::Deserialize;

use super::{
    Blobs,
    error::{BlobError, file_error, store_error},
};

/// How long a store may take to take a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long one request may take, its content with it.
const REQUEST: Duration = Duration::from_secs(60);

/// A store that fails or is not there is asked again for this long, at growing intervals, before a call fails.
const RETRY: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    },
    max_retries: 20,
    retry_timeout: Duration::from_secs(30),
};

/// How a bucket is reached. What is not said here comes from the environment, in the names that the stores' own tools
/// use (`AWS_…`, `GOOGLE_…`, `AZURE_…`), or from the role of the machine.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlobOptions {
    /// Where the store answers, if it is not the cloud's own place: `http://minio:9000`.
    pub endpoint: Option<String>,
    /// The region of the bucket (S3).
    pub region: Option<String>,
    /// The name of the key (S3), or of the account (Azure).
    pub access_key: Option<String>,
    /// The key itself (S3, Azure).
    pub secret_key: Option<String>,
    /// The file with the service account (Google).
    pub credentials_file: Option<PathBuf>,
    /// Puts the bucket into the path instead of the host's name (S3): what most servers that are not the cloud's want.
    pub path_style: bool,
    /// Accepts a store without TLS.
    pub allow_http: bool,
    /// A file of certificates (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Where uploads whose size is not known are gathered; the system's folder for temporary files if not said.
    pub scratch: Option<PathBuf>,
}

impl fmt::Debug for BlobOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobOptions")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

impl Blobs {
    /// The blobs at `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`. The store
    /// is asked whether it is there and knows the credentials.
    ///
    /// # Errors
    /// [`BlobError::Settings`] for a URL or options that name no store, [`BlobError::File`] for a folder or certificate
    /// that cannot be used, [`BlobError::Store`] if the store does not answer or refuses.
    pub async fn connect(url: &str, options: &BlobOptions) -> Result<Self, BlobError> {
        let wrong = |why: &str| BlobError::Settings { url: url.to_owned(), why: why.to_owned() };
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong(
                "expected file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
            ));
        };
        if scheme == "file" {
            if !rest.starts_with('/') {
                return Err(wrong("a folder is named with three slashes: file:///folder"));
            }
            return Self::open(Path::new(rest)).await;
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong("it names no bucket"));
        }
        if bucket.contains('@') {
            return Err(wrong(
                "credentials do not belong into a URL: put them into the environment or the settings",
            ));
        }
        let prefix = Key::parse(prefix.trim_end_matches('/')).map_err(|error| wrong(&error.to_string()))?;
        install_crypto();
        let client = client(options)?;
        let built: Result<Arc<dyn ObjectStore>, _> = match scheme {
            "s3" => s3(bucket, options, client).build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
            "gs" => gs(bucket, options, client).build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
            "az" => az(bucket, options, client).build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>),
            _ => return Err(wrong("stores are named with file://, s3://, gs:// and az://")),
        };
        let store = built.map_err(|error| wrong(&error.to_string()))?;
        let blobs = Self {
            store: match prefix.as_ref() {
                "" => store,
                _ => Arc::new(PrefixStore::new(store, prefix)),
            },
            place: url.into(),
            scratch: Some(options.scratch.clone().unwrap_or_else(std::env::temp_dir)),
        };
        blobs.ask().await?;
        Ok(blobs)
    }

    /// Asks the store whether it is there.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn ask(&self) -> Result<(), BlobError> {
        let mut listed = self.store.list(Some(&Key::from("sha256")));
        listed.try_next().await.map_err(store_error(&self.place, "answering for the first time"))?;
        Ok(())
    }
}

/// TLS needs to be told whose cryptography to use; a second call finds it in place.
fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn client(options: &BlobOptions) -> Result<ClientOptions, BlobError> {
    let mut client = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(REQUEST)
        .with_allow_http(options.allow_http);
    if let Some(file) = &options.ca_file {
        let pem = std::fs::read(file).map_err(file_error("read the certificates in", file))?;
        let trusted = Certificate::from_pem_bundle(&pem).map_err(|error| BlobError::Settings {
            url: file.display().to_string(),
            why: format!("it holds no certificates: {error}"),
        })?;
        for certificate in trusted {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

fn s3(bucket: &str, options: &BlobOptions, client: ClientOptions) -> AmazonS3Builder {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(!options.path_style)
        .with_client_options(client)
        .with_retry(RETRY);
    if let Some(endpoint) = &options.endpoint {
        // The name of the host is ours to make, if the bucket belongs into it.
        builder = builder.with_endpoint(match endpoint.split_once("://") {
            Some((scheme, host)) if !options.path_style => format!("{scheme}://{bucket}.{host}"),
            _ => endpoint.clone(),
        });
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(id) = &options.access_key {
        builder = builder.with_access_key_id(id);
    }
    if let Some(key) = &options.secret_key {
        builder = builder.with_secret_access_key(key);
    }
    builder
}

fn gs(bucket: &str, options: &BlobOptions, client: ClientOptions) -> GoogleCloudStorageBuilder {
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(client)
        .with_retry(RETRY);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    if let Some(file) = &options.credentials_file {
        builder = builder.with_service_account_path(file.to_string_lossy());
    }
    builder
}

fn az(container: &str, options: &BlobOptions, client: ClientOptions) -> MicrosoftAzureBuilder {
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_client_options(client)
        .with_retry(RETRY);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if let Some(account) = &options.access_key {
        builder = builder.with_account(account);
    }
    if let Some(key) = &options.secret_key {
        builder = builder.with_access_key(key);
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_that_names_no_store_says_what_is_wrong() {
        let options = BlobOptions::default();
        for (url, expected) in [
            ("blobs", "expected file:///folder"),
            ("file://blobs", "three slashes"),
            ("s3:///prefix", "no bucket"),
            ("s3://key:secret@bucket", "do not belong into a URL"),
            ("s3://bucket/a//b", "empty path segment"),
            ("ftp://bucket", "s3://"),
        ] {
            let error = Blobs::connect(url, &options).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let options = BlobOptions { secret_key: Some("canary".into()), ..BlobOptions::default() };
        assert!(!format!("{options:?}").contains("canary"));
    }

    #[test]
    fn every_cloud_is_built_from_its_options() {
        install_crypto();
        let options = BlobOptions {
            endpoint: Some("https://store.example".into()),
            region: Some("eu-1".into()),
            access_key: Some("account".into()),
            secret_key: Some("a2V5".into()),
            ..BlobOptions::default()
        };
        s3("bucket", &options, client(&options).unwrap()).build().unwrap();
        gs("bucket", &options, client(&options).unwrap()).build().unwrap();
        az("bucket", &options, client(&options).unwrap()).build().unwrap();
        let missing = BlobOptions { ca_file: Some("/does/not/exist.pem".into()), ..options };
        assert!(client(&missing).unwrap_err().to_string().contains("exist.pem"));
    }
}
