public import EgoCore

extension EntityErasure {
    /// What of an entity can still be read.
    struct Remains: CustomStringConvertible {
        var parts: [String] = []
        /// Whether something is not encrypted, or has its key.
        var isReadable = false

        var isNothing: Bool { parts.isEmpty }
        var isUnreadable: Bool { !isReadable }
        var description: String { parts.joined(separator: ", ") }
    }

    /// Looks for an entity in everything that the store has.
    func remains(of id: PersistenceID) async throws -> Remains {
        var remains = Remains()
        func found(_ what: String, isReadable: Bool) {
            remains.parts.append(what)
            remains.isReadable = remains.isReadable || isReadable
        }
        var keys = 0
        for store in keyStores { keys += try await store.keys(of: id).count }
        if keys > 0 { found("\(keys) keys", isReadable: true) }
        let events = try await store.events(of: id, from: 1, through: .max, limit: page)
        if let first = events.first {
            found("event \(first.sequenceNumber)", isReadable: events.contains { !$0.isEncrypted || $0.hasInlineState })
        }
        let snapshots = try await store.snapshots(of: id, from: .zero, limit: page)
        if let first = snapshots.first {
            found("snapshot \(first.sequenceNumber)", isReadable: snapshots.contains { !$0.isEncrypted })
        }
        if let state = try await store.state(of: id) { found("a durable state", isReadable: !state.isEncrypted) }
        let letters = try await store.deadLetterCount(of: id)
        if letters > 0 { found("\(letters) dead letters", isReadable: true) }
        for record in try await store.projections() {
            let tables = ReadModelRows.tables(of: record)
            let counts = try await ReadModelRows(store: store, tables: tables).counts(of: id)
            for (table, count) in zip(tables, counts) where count > 0 {
                found("\(count) rows of \(table.name)", isReadable: true)
            }
        }
        return remains
    }

    /// What a look at an erased entity gave.
    public struct Proof: Sendable {
        /// The certificate; nil when there is none.
        public var certificate: RecordedCertificate?
        /// What is wrong, a sentence each; empty when the entity is gone.
        public var problems: [String]
        /// How many bytes of files were looked at.
        public var scannedBytes: Int
    }

    /// Repeats the proof that an entity is gone.
    ///
    /// - Throws: ``OperationError/Code/notFound`` for an ID that never existed.
    public func verify(_ id: PersistenceID) async throws -> Proof {
        let isErased = try await known(id).stream.isErased
        var problems: [String] = []
        let certificate = try await certificates().last { $0.certificate.id == id.rawValue }
        if !isErased { problems.append("it was not erased: there is no tombstone") }
        if let certificate, !certificate.isIntact { problems.append("its certificate was changed") }
        if certificate == nil, isErased {
            problems.append("it has no certificate: the erasure was not finished; repeat ego erase")
        }
        let left = try await remains(of: id)
        let keepsEvents = certificate?.certificate.keptEvents ?? false
        if !left.isNothing, !(keepsEvents && left.isUnreadable) {
            problems.append("something of it is still there: \(left)")
        }
        var scanned = 0
        if isErased, !keepsEvents {
            let report = try await store.residue(
                ResidueSearch(ids: [id], rewrite: .never, includesLog: certificate == nil))
            scanned = report.scannedBytes
            if report.residues > 0 {
                problems.append("\(report.residues) places in the store's files that no record uses hold its ID")
            }
        }
        return Proof(certificate: certificate, problems: problems, scannedBytes: scanned)
    }
}
