package import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Makes stores to measure on, as schemas of their own in a database.
package struct PostgresScratchPlace: ScratchPlace {
    package let library = "libpq"
    package let isInProcess = false
    package let folder: String
    private let url: PostgresURL
    private let options: PostgresStoreOptions

    /// The database of a URL, whether or not a store is in it.
    ///
    /// - Parameter folder: where files of a measurement can be.
    package init(url: PostgresURL, options: PostgresStoreOptions, folder: String) {
        (self.url, self.options, self.folder) = (url, options, folder)
    }

    /// What the schemas' names begin with.
    package static let prefix = "ego_bench_"

    package func makeScratch(shards: UInt32?) async throws(StoreError) -> any ScratchStore {
        // A word and numbers.
        let name = "\(Self.prefix)\(getpid())_\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        try await PostgresStore.withAdministrator(url, options) { (connection) throws(StoreError) in
            if connection.session.isPooled {
                throw StoreError(
                    .invalid, "through a proxy that shares sessions no schema can be kept apart: name the server itself"
                )
            }
            try connection.run("make a schema to measure in") { () throws(PostgresError) in
                try connection.script("CREATE SCHEMA \(name)")
            }
        }
        var own = options
        own.schema = name
        do throws(StoreError) {
            _ = try await PostgresStore.initialize(url: url, shardCount: shards, storeID: name, options: own)
            return PostgresScratch(
                name: name, url: url, options: own, store: try await PostgresStore(url: url, options: own))
        } catch {
            await Self.drop(name, url, options)
            throw error
        }
    }

    /// Nothing: without a word with the server nothing of it can be removed.
    package func abandon() {}

    /// Removes a schema. What fails is no news to whoever measured: the schema's name says that it can go.
    static func drop(_ name: String, _ url: PostgresURL, _ options: PostgresStoreOptions) async {
        try? await PostgresStore.withAdministrator(url, options) { (connection) throws(StoreError) in
            try connection.run("remove the schema") { () throws(PostgresError) in
                try connection.script("SET client_min_messages = warning; DROP SCHEMA IF EXISTS \(name) CASCADE")
            }
        }
    }
}

/// A schema to measure in.
package struct PostgresScratch: ScratchStore {
    package let store: any Store
    private let name: String
    private let url: PostgresURL
    private let options: PostgresStoreOptions
    private let worker: PostgresWorker

    init(name: String, url: PostgresURL, options: PostgresStoreOptions, store: PostgresStore) {
        (self.name, self.url, self.options, self.store) = (name, url, options, store)
        worker = PostgresWorker(url, options)
    }

    package var address: ScratchAddress { ScratchAddress(store: url.text, schema: name) }

    package func run(_ work: RawWork, _ budget: WorkBudget) async throws(StoreError) -> RawResult {
        if Task.isCancelled { throw StoreError(.cancelled, "stopped before the measurement") }
        let outcome = await withTaskCancellationHandler {
            await worker.run { (connection) throws(StoreError) in
                try connection.run("measure the limit") { () throws(PostgresError) in
                    try RawPostgres(connection.handle, budget).run(work)
                }
            }
        } onCancel: {
            budget.stop.raise()
        }
        if Task.isCancelled { throw StoreError(.cancelled, "stopped in a measurement") }
        switch outcome {
        case .done(let result): return result
        case .failed(let error), .lost(let error): throw error
        case .notConnected(let error): throw StoreError(error, during: "connect to measure the limit")
        }
    }

    /// Autovacuum comes once a minute; without statistics the server reads whole tables for a page.
    package func settle() async throws(StoreError) {
        try await PostgresStore.withAdministrator(url, options) { (connection) throws(StoreError) in
            try connection.run("gather statistics") { () throws(PostgresError) in
                for table in ["events_store", "snapshots_store", "ego_entities", "ego_offsets"] {
                    try connection.script("VACUUM (ANALYZE) \(table)")
                }
            }
        }
    }

    package func remove() async {
        await worker.close()
        await store.close()
        var options = options
        options.schema = nil
        await PostgresScratchPlace.drop(name, url, options)
    }
}
