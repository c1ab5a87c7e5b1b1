//! The calls of the API server that the operations are made of. Each has a deadline of its own, so that a server that
//! takes a request and never answers holds up that request and nothing else.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ApiResource, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{DynamicObject, ObjectList, Request};
use kube::{Client, Error, Resource};
use openshell_driver_api::SandboxId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::agent::Version;
use crate::names::Scope;
use crate::record::Record;
use crate::{error, state};

/// Who applies, as the cluster keeps it.
pub(crate) const FIELD_MANAGER: &str = "openshell";
/// How long one call may take.
const CALL: Duration = Duration::from_secs(20);
/// How much is listed at once: what a cluster's own controllers ask for.
const PAGE: u32 = 500;
/// How often a list begins anew because the version of its first page is gone before its last page was read.
const LISTS: usize = 5;

/// How an object is made: under the driver's name.
fn posted() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// A list and the version of the whole that it is.
pub(crate) struct Listed<K> {
    pub(crate) items: Vec<K>,
    pub(crate) version: String,
}

/// The cluster as one gateway sees it.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) client: Client,
    pub(crate) scope: Scope,
    /// The one namespace of all sandboxes; none where each workspace has its own.
    pub(crate) shared: Option<String>,
    /// The version of agent-sandbox, where that makes the pods.
    pub(crate) agent: Option<Version>,
}

impl Calls {
    /// A call with its deadline.
    pub(crate) async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::time::timeout(CALL, call).await.unwrap_or_else(|_| Err(error::no_answer(CALL)))
    }

    pub(crate) fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) fn claims(&self, namespace: &str) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) fn policies(&self, namespace: &str) -> Api<NetworkPolicy> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) fn configs(&self, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(crate) fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }

    /// What records are on this cluster.
    pub(crate) fn resource(&self) -> ApiResource {
        match self.agent {
            Some(version) => version.resource(),
            None => ApiResource::erase::<ConfigMap>(&()),
        }
    }

    pub(crate) fn records(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &self.resource())
    }

    /// Where all records are.
    pub(crate) fn records_url(&self) -> String {
        let resource = self.resource();
        match &self.shared {
            Some(namespace) => DynamicObject::url_path(&resource, Some(namespace)),
            None => DynamicObject::url_path(&resource, None),
        }
    }

    pub(crate) fn pods_url(&self) -> String {
        Pod::url_path(&(), self.shared.as_deref())
    }

    pub(crate) fn events_url(&self) -> String {
        Event::url_path(&(), self.shared.as_deref())
    }

    /// The events of one namespace: where each workspace has its own, all of them are the whole cluster's.
    pub(crate) fn events_of(&self, namespace: &str) -> String {
        Event::url_path(&(), Some(namespace))
    }

    /// Whether of a record its metadata alone is read: a config map's manifest is of use to a start only, and a `Sandbox`
    /// has its state in what metadata lacks.
    pub(crate) fn by_metadata(&self) -> bool {
        self.agent.is_none()
    }

    /// Everything below a URL that the parameters select, however much, page by page.
    pub(crate) async fn all<K>(
        &self,
        url: &str,
        metadata: bool,
        params: &ListParams,
    ) -> Result<Listed<K>, Error>
    where
        K: Clone + DeserializeOwned,
    {
        self.all_of(url, metadata, params, |object| object).await
    }

    /// The same; of each object is kept what `trim` leaves of it.
    pub(crate) async fn all_of<K>(
        &self,
        url: &str,
        metadata: bool,
        params: &ListParams,
        trim: fn(K) -> K,
    ) -> Result<Listed<K>, Error>
    where
        K: Clone + DeserializeOwned,
    {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.once(url, metadata, params, trim).await {
                // The pages are of one version, which the server no longer has.
                Err(error) if error::status(&error) == Some(410) && attempt < LISTS => {}
                listed => return listed,
            }
        }
    }

    async fn once<K>(
        &self,
        url: &str,
        metadata: bool,
        params: &ListParams,
        trim: fn(K) -> K,
    ) -> Result<Listed<K>, Error>
    where
        K: Clone + DeserializeOwned,
    {
        let mut items = Vec::new();
        let mut params = params.clone().limit(PAGE);
        loop {
            let page: ObjectList<K> = self.page(url, metadata, &params).await?;
            items.extend(page.items.into_iter().map(trim));
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => params = params.continue_token(&next),
                None => {
                    let version = page.metadata.resource_version.unwrap_or_default();
                    return Ok(Listed { items, version });
                }
            }
        }
    }

    async fn page<K>(&self, url: &str, metadata: bool, params: &ListParams) -> Result<ObjectList<K>, Error>
    where
        K: Clone + DeserializeOwned,
    {
        let request = Request::new(url);
        let request = if metadata { request.list_metadata(params) } else { request.list(params) };
        Self::within(self.client.request(request.map_err(Error::BuildRequest)?)).await
    }

    /// All pods of the gateway, of each no more than what is looked at: whole, thousands would be much at once.
    pub(crate) async fn all_pods(&self, params: &ListParams) -> Result<Listed<Pod>, Error> {
        self.all_of(&self.pods_url(), false, params, state::trim).await
    }

    /// The version that a collection has now, with as little of its content as can be asked for.
    pub(crate) async fn version(&self, url: &str, params: &ListParams) -> Result<String, Error> {
        let params = params.clone().limit(1);
        let page: ObjectList<Value> = self.page(url, false, &params).await?;
        Ok(page.metadata.resource_version.unwrap_or_default())
    }

    /// The records of the gateway, or of one of its sandboxes.
    pub(crate) async fn list_records(&self, selector: &str) -> Result<Listed<Record>, Error> {
        let params = ListParams::default().labels(selector);
        let listed = self.all::<DynamicObject>(&self.records_url(), self.by_metadata(), &params).await?;
        let items = listed.items.iter().filter_map(|found| Record::read(&self.scope, found)).collect();
        Ok(Listed { items, version: listed.version })
    }

    /// The record of a sandbox. Where workspaces have namespaces of their own, an id does not say which one.
    pub(crate) async fn record(&self, id: &SandboxId) -> Result<Option<Record>, Error> {
        let Some(namespace) = &self.shared else {
            let listed = self.list_records(&self.scope.selector_of(id)).await?;
            return Ok(listed.items.into_iter().find(|record| record.identity.id == *id));
        };
        let found = self.object(namespace, &self.scope.object(id)).await?;
        let record = found.and_then(|found| Record::read(&self.scope, &found));
        Ok(record.filter(|record| record.identity.id == *id))
    }

    /// What there is under the name of a record, anybody's.
    pub(crate) async fn object(&self, namespace: &str, name: &str) -> Result<Option<DynamicObject>, Error> {
        let api = self.records(namespace);
        if !self.by_metadata() {
            return Self::within(api.get_opt(name)).await;
        }
        let found = Self::within(api.get_metadata_opt(name)).await?;
        let object = |found: kube::core::PartialObjectMeta<DynamicObject>| DynamicObject {
            types: found.types,
            metadata: found.metadata,
            data: Value::Null,
        };
        Ok(found.map(object))
    }

    /// The pod of a record.
    pub(crate) async fn pod(&self, record: &Record) -> Result<Option<Pod>, Error> {
        Self::within(self.pods(&record.namespace).get_opt(&record.name)).await
    }

    /// Makes an object that is not there yet.
    pub(crate) async fn create<K>(api: &Api<K>, object: &K) -> Result<K, Error>
    where
        K: Clone + DeserializeOwned + Serialize + Debug,
    {
        Self::within(api.create(&posted(), object)).await
    }

    /// Makes a secret that is not there yet. The answer holds what was sent, and is read by nobody: the client would log
    /// one that makes no sense as it came.
    pub(crate) async fn create_secret(&self, namespace: &str, secret: &Secret) -> Result<(), Error> {
        let body = serde_json::to_vec(secret).map_err(Error::SerdeError)?;
        let request = Request::new(Secret::url_path(&(), Some(namespace))).create(&posted(), body);
        let request = request.map_err(Error::BuildRequest)?;
        Self::within(self.client.request_text(request)).await.map(drop)
    }

    /// Makes what is said of an object so, whatever it was.
    pub(crate) async fn apply<K, P>(api: &Api<K>, name: &str, object: &P) -> Result<K, Error>
    where
        K: Clone + DeserializeOwned + Debug,
        P: Serialize + Debug,
    {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        Self::within(api.patch(name, &params, &Patch::Apply(object))).await
    }

    /// Removes an object, this one and no other that was made later under the same name. `None`: any of that name.
    pub(crate) async fn delete<K>(
        api: &Api<K>,
        name: &str,
        uid: Option<&str>,
        grace: Option<u32>,
    ) -> Result<(), Error>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        let mut params = DeleteParams::background();
        params.grace_period_seconds = grace;
        params.preconditions =
            uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        Self::within(api.delete(name, &params)).await.map(drop)
    }
}
