import BankDomain
import EgoCore
import EgoOperations
import EgoSQLite
import ExerciserSupport
import Foundation
import SwiftProtobuf
import Testing

/// A read model that keeps what accounts were opened with, in a table that names its column of entities.
struct Notes: ReadModel {
    let tables = [
        ReadModelTable(
            "notes", columns: "position TEXT PRIMARY KEY, id TEXT NOT NULL, note TEXT NOT NULL", indexes: ["note"],
            entityColumn: "id"),
        ReadModelTable("note_counts", columns: "position TEXT PRIMARY KEY"),
    ]

    func handle(_ event: ProjectedEvent, in model: ReadModelWriter) throws {
        guard let created = try event.decoded(as: Samplepb_AccountCreated.self) else { return }
        let position = ReadModelValue.text(event.offset.description)
        try model.change(
            "INSERT INTO {notes} VALUES (:position, :id, :note)",
            ["position": position, "id": .text(event.persistenceID.rawValue), "note": .text(created.accountID)])
        try model.change("INSERT INTO {note_counts} VALUES (:position)", ["position": position])
    }
}

/// Entities whose every part holds a marker, among others that stay.
struct Marked {
    /// In everything that has to be gone.
    static let marker = "MARKER-7f3a91c2-"
    static let names = ["gone", "gone-wallet"]
    static var ids: [PersistenceID] { names.map { PersistenceID(stored: $0) } }

    static func text(_ what: String) -> String { "\(marker)\(what)-0123456789-abcdefghijklmnopqrstuvwxyz" }

    static func opened(_ text: String) throws -> [UInt8] {
        try AnyPayload(packing: Samplepb_AccountCreated.with { $0.accountID = text }).serialized()
    }

    static func event(_ text: String, hasInlineState: Bool = false) throws -> NewEvent {
        let state = AnyPayload(typeURL: "type.googleapis.com/samplepb.Account", value: Array("\(text) inline".utf8))
        return NewEvent(
            timestamp: SystemTime().now(), payload: try opened(text),
            unknownFields: hasInlineState ? PersistedEvent.unknownFields(inlineState: state) : [])
    }

    /// Fills a store: `gone` has events, inline state, snapshots, keys, dead letters, a failure that stopped a projection
    /// and rows in two versions of a read model; `gone-wallet` has a durable state; `living` has the like.
    static func fill(_ store: some Store) async throws {
        for id in ["gone", "living"] {
            let mark = id == "gone" ? text("event") : "living"
            for number in 0..<30 {
                let request = AppendRequest(
                    persistenceID: PersistenceID(stored: id), kind: "account", expectedVersion: .any,
                    events: [try event("\(mark) \(number)", hasInlineState: number.isMultiple(of: 7))],
                    metadata: EventMetadata(commandID: CommandID("\(mark)-command-\(number)")))
                _ = try await store.append([request])
            }
            for number in [10, 20, 30] {
                try await store.save(
                    StoredSnapshot(
                        persistenceID: PersistenceID(stored: id), sequenceNumber: SequenceNumber(UInt64(number)),
                        timestamp: SystemTime().now(), payload: try opened("\(mark) snapshot \(number)")))
            }
        }
        for id in ["gone-wallet", "living-wallet"] {
            let mark = id == "gone-wallet" ? text("state") : "living"
            for version in 0..<3 {
                _ = try await store.save([
                    StateWrite(
                        persistenceID: PersistenceID(stored: id), kind: "wallet",
                        expectedVersion: SequenceNumber(UInt64(version)), timestamp: SystemTime().now(),
                        payload: try opened("\(mark) \(version)"))
                ])
            }
        }
        for id in ["gone", "living"] {
            try await store.add(
                StoredKey(
                    id: "key of \(id)", persistenceID: PersistenceID(stored: id),
                    wrapped: Array((id == "gone" ? text("key") : "living").utf8), createdAt: SystemTime().now()))
        }
        // Versions 1, in use before, and 2 of the read model.
        for _ in 0..<2 {
            let work = Rebuild(store: store, reader: EventReader(), by: operatorForTests, time: SystemTime())
            _ = try await work.run([Projection("notes", Notes())], Rebuild.Options(), command: "rebuild")
        }
        var record = try #require(try await store.projection("notes"))
        record.failure = ProjectionFailure(
            message: text("failure"), persistenceID: PersistenceID(stored: "gone"), sequenceNumber: 3,
            offset: .start, shard: Shard(0), attempts: 1, failedAt: SystemTime().now())
        let letters = [("gone", 1), ("gone", 2), ("living", 3)].map { id, number in
            DeadLetter(
                projection: "other", version: number,
                offset: Offset(transactionID: 0, position: Position(Int64(number))),
                shard: Shard(0), persistenceID: PersistenceID(stored: id), sequenceNumber: 3, type: "T",
                error: id == "gone" ? text("letter \(number)") : "living", attempts: 1, failedAt: SystemTime().now())
        }
        var changes: [OperatorChange] = [.saveProjection(record)]
        for letter in letters {
            changes.append(
                .advance(
                    ProjectionAdvance(
                        projection: "other", version: letter.version, offsets: [], deadLetters: [letter])))
        }
        _ = try await store.commit(changes, under: nil)
    }
}

extension Folder {
    /// How often a text is in the files of a SQLite store.
    func occurrences(_ text: String, in name: String) -> Int {
        let wanted = Data(text.utf8)
        return ["", "-wal"].reduce(0) { sum, suffix in
            guard let data = bytes(name + suffix) else { return sum }
            var (found, start) = (0, data.startIndex)
            while let range = data.range(of: wanted, in: start..<data.endIndex) {
                (found, start) = (found + 1, range.upperBound)
            }
            return sum + found
        }
    }
}

extension EntityErasure {
    /// Erasures that do not wait for other processes.
    init(of store: any Store, keyStores: [any KeyStore] = [], domain: Domain = .bank, page: Int = 7) {
        self.init(
            store: store, keyStores: keyStores, domain: domain, by: operatorForTests, time: SystemTime(),
            page: PageLimit(rows: page), staleness: .zero)
    }

    @discardableResult
    func erase(
        _ names: [String], _ options: Options = Options()
    ) async throws -> [RecordedCertificate] {
        let ids = names.map { PersistenceID(stored: $0) }
        return try await run(ids, options, as: try await plan(ids, options), command: "ego erase")
    }
}

/// What is the same after every way to erase: all records, rows and certificates, but no times and hashes.
struct ErasedContent: Equatable {
    var records: StoreContent
    var rows: [[ReadModelValue]] = []
    var letters: [Int] = []
    var certificates: [ErasureCertificate]
    var keys: [KeyListing]
    var problems: [String]

    init(of store: SQLiteStore) async throws {
        records = try await StoreContent(of: store)
        for index in records.events.indices { records.events[index].timestamp = Timestamp(unixNanoseconds: 0) }
        for index in records.snapshots.indices { records.snapshots[index].timestamp = Timestamp(unixNanoseconds: 0) }
        for index in records.states.indices { records.states[index].timestamp = Timestamp(unixNanoseconds: 0) }
        for index in records.entities.indices {
            records.entities[index].firstTimestamp = nil
            records.entities[index].lastTimestamp = nil
        }
        for table in ["notes_v2", "notes_v3"] {
            rows += try await SeenEvents.query(store, "SELECT id, note FROM \(table) ORDER BY 1, 2")
        }
        for name in Marked.names + ["living"] {
            letters.append(try await store.deadLetterCount(of: PersistenceID(stored: name)))
        }
        certificates = try await EntityErasure(of: store).certificates().map(\.certificate)
        for index in certificates.indices {
            certificates[index].at = ""
            certificates[index].verified.scannedBytes = 0
        }
        keys = try await store.keys(after: nil, limit: 100)
        for index in keys.indices { keys[index].key.createdAt = Timestamp(unixNanoseconds: 0) }
        problems = try await AuditLog(store: store).verify().problems.map(\.message)
    }
}
