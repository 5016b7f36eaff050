package import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Makes stores to measure on, as files of their own in the folder of a store's file.
package struct SQLiteScratchPlace: ScratchPlace {
    package let library = "sqlite3"
    package let isInProcess = true
    package let folder: String
    private let options: SQLiteStoreOptions

    /// The folder of `path`, where a store is or could be.
    ///
    /// - Throws: `StoreError` with code `notFound` when there is no such folder, `permission` when nothing can be made in it.
    package init(beside path: String, options: SQLiteStoreOptions) throws(StoreError) {
        try SQLiteFile.checkFolder(of: path)
        folder = SQLiteFile.folder(of: path)
        self.options = options
    }

    /// What the files' names begin with.
    package static let prefix = ".ego-bench-"

    private static var ownPrefix: String { "\(prefix)\(getpid())-" }

    package func abandon() {
        guard let entries = opendir(folder) else { return }
        defer { closedir(entries) }
        var names: [String] = []
        while let entry = readdir(entries) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasPrefix(Self.ownPrefix) { names.append(name) }
        }
        for name in names { unlink("\(folder)/\(name)") }
    }

    package func makeScratch(shards: UInt32?) async throws(StoreError) -> any ScratchStore {
        let name = "\(Self.ownPrefix)\(String(UInt64.random(in: 0 ... .max), radix: 36)).db"
        let path = "\(folder)/\(name)"
        do throws(StoreError) {
            _ = try SQLiteStore.initialize(path: path, shardCount: shards ?? 16, storeID: name, options: options)
            return SQLiteScratch(path: path, store: try await SQLiteStore(path: path, options: options), options)
        } catch {
            SQLiteScratch.removeFiles(path)
            throw error
        }
    }
}

/// A file to measure on.
package struct SQLiteScratch: ScratchStore {
    package let store: any Store
    private let path: String
    private let worker: SQLiteWorkerBox
    private let options: SQLiteStoreOptions

    init(path: String, store: SQLiteStore, _ options: SQLiteStoreOptions) {
        (self.path, self.store, self.options) = (path, store, options)
        worker = SQLiteWorkerBox()
    }

    package var address: ScratchAddress { ScratchAddress(store: "sqlite:\(path)") }

    package func run(_ work: RawWork, _ budget: WorkBudget) async throws(StoreError) -> RawResult {
        if Task.isCancelled { throw StoreError(.cancelled, "stopped before the measurement") }
        let worker = try worker.worker { () throws(StoreError) in
            SQLiteWorker(
                label: "ego.sqlite.limit",
                connection: try SQLiteStore.connect(path, mode: .readWrite, options: options))
        }
        let result: Result<RawResult, StoreError> = await withTaskCancellationHandler {
            do throws(StoreError) {
                return .success(
                    try await worker.run { (connection) throws(StoreError) in
                        try connection.run("measure the limit") { () throws(SQLiteError) in
                            try RawSQLite(connection.handle, budget).run(work)
                        }
                    })
            } catch {
                return .failure(error)
            }
        } onCancel: {
            budget.stop.raise()
        }
        if Task.isCancelled { throw StoreError(.cancelled, "stopped in a measurement") }
        return try result.get()
    }

    package func settle() async throws(StoreError) {}

    package func remove() async {
        await worker.close()
        await store.close()
        Self.removeFiles(path)
    }

    static func removeFiles(_ path: String) {
        for suffix in ["", "-wal", "-shm", "-journal"] { unlink(path + suffix) }
    }
}
