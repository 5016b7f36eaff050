import Ego
public import EgoCore
public import SwiftProtobuf

/// Folds events into states, as they were at any point.
public struct Replay: Sendable {
    /// Up to where to fold.
    public enum End: Sendable, Hashable {
        /// The last event.
        case head
        /// This event, included.
        case sequenceNumber(SequenceNumber)
        /// The last event that was written at this moment or before.
        case time(Timestamp)
    }

    private let store: any Store
    private let domain: Domain
    private let resolver: EntityResolver
    private let page: PageLimit

    /// A replay on a store with a domain's behaviors.
    public init(store: any Store, domain: Domain, page: PageLimit = .standard) {
        self.store = store
        self.domain = domain
        self.resolver = EntityResolver(store: store, domain: domain)
        self.page = page
    }

    /// The state of an entity.
    ///
    /// - Parameters:
    ///   - kind: the entity's kind, where the operator names one.
    ///   - steps: called with the state after each event from this number on; nil for none.
    ///   - progress: called with the number of events that were folded so far, once a page.
    /// - Throws: ``OperationError``, `EgoError`, `DomainError` or `StoreError`.
    public func entity(
        _ id: PersistenceID, to end: End = .head, kind requested: String? = nil, steps: StepConsumer? = nil,
        progress: @Sendable (Int) -> Void = { _ in }
    ) async throws -> ReplayedEntity {
        let history = steps == nil ? try await history(of: id, end) : nil
        let record: EntityRecord
        if let stream = history?.stream, stream.last > .zero {
            record = EntityRecord(persistenceID: id, stream: stream)
        } else {
            record = try await resolver.existing(id)
        }
        if record.stream.isErased { throw OperationError(.refused, "the entity was erased", persistenceID: id) }
        if record.isDurableState, let state = record.state {
            return try durableState(state, kind: record.stream.kind, end: end)
        }
        let kind = try await resolver.kind(of: id, record: record, requested: requested)
        guard let behavior = kind.folding else {
            throw OperationError(
                .data, "it has events, but kind \(kind.name) keeps a durable state", persistenceID: id)
        }
        let last = try await lastNumber(of: record, end)
        if let steps {
            return try await trace(behavior, record, through: last, steps, progress: progress)
        }
        return try await fold(behavior, record, history, through: last, progress: progress)
    }

    /// What there is up to the end, in one read; nil where the end is found by looking at events.
    private func history(of id: PersistenceID, _ end: End) async throws -> EntityHistory? {
        switch end {
        case .head: try await store.history(of: id, through: .max, limit: page)
        case .sequenceNumber(let number): try await store.history(of: id, through: number, limit: page)
        case .time: nil
        }
    }

    /// Folds an entity anew and compares with every snapshot of it.
    ///
    /// - Throws: as ``entity(_:to:kind:steps:progress:)``.
    public func verify(_ id: PersistenceID, kind requested: String? = nil) async throws -> [SnapshotMismatch] {
        let record = try await resolver.existing(id)
        if record.isDurableState || record.stream.isErased { return [] }
        let kind = try await resolver.kind(of: id, record: record, requested: requested)
        guard let behavior = kind.folding else { return [] }
        return try await verify(behavior, record)
    }

    private func durableState(_ stored: StoredState, kind: String?, end: End) throws -> ReplayedEntity {
        switch end {
        case .head: break
        case .sequenceNumber(let number):
            if number != stored.version {
                throw OperationError(
                    .notFound,
                    "it keeps its latest state only, version \(stored.version)",
                    persistenceID: stored.persistenceID)
            }
        case .time(let time):
            if time < stored.timestamp {
                throw OperationError(
                    .notFound, "it keeps its latest state only, which is newer",
                    persistenceID: stored.persistenceID)
            }
        }
        do {
            let state = try domain.messages.decode(domain.reader.clear(stored))
            return ReplayedEntity(
                persistenceID: stored.persistenceID, kind: kind, sequenceNumber: stored.version, eventCount: 0,
                snapshotSequenceNumber: nil, timestamp: stored.timestamp, state: state,
                encryptionKeyID: stored.isEncrypted ? stored.encryptionKeyID : nil)
        } catch {
            throw EgoError(FoldError.undecodable(sequenceNumber: stored.version, cause: error), stored.persistenceID)
        }
    }

    private func fold<Behavior: EventFolding>(
        _ behavior: Behavior, _ record: EntityRecord, _ history: EntityHistory?, through last: SequenceNumber,
        progress: @Sendable (Int) -> Void
    ) async throws -> ReplayedEntity {
        let id = record.persistenceID
        var history = history
        if history == nil { history = try await store.history(of: id, through: last, limit: page) }
        let streams = StreamReader(store: store, reader: domain.reader, page: page)
        var count = 0
        var key: String?
        let fold: StreamFold<Behavior>
        do {
            fold = try await streams.fold(
                behavior, of: id, history ?? EntityHistory(stream: record.stream), through: last
            ) { events in
                if let last = events.last(where: \.isEncrypted) { key = last.encryptionKeyID }
                count += events.count
                progress(count)
            }
        } catch {
            guard case FoldError.trimmed? = error.cause as? FoldError, let cause = error.cause else { throw error }
            throw OperationError(.data, "\(cause)", persistenceID: id)
        }
        let snapshot = SequenceNumber(fold.sequenceNumber.rawValue - UInt64(count))
        if snapshot > .zero, key == nil { key = try await firstKey(of: id) }
        return ReplayedEntity(
            fold, record, through: last, snapshot: snapshot == .zero ? nil : snapshot, encryptionKeyID: key,
            kind: behavior.kind)
    }

    /// Folds an entity and shows the steps from one on.
    private func trace<Behavior: EventFolding>(
        _ behavior: Behavior, _ record: EntityRecord, through last: SequenceNumber, _ steps: StepConsumer,
        progress: @Sendable (Int) -> Void
    ) async throws -> ReplayedEntity {
        let id = record.persistenceID
        let streams = StreamReader(store: store, reader: domain.reader, page: page)
        var fold = try await start(behavior, record, before: steps.first)
        // Where it begins with the first event, the records that come by say it.
        var key = fold.sequenceNumber == .zero ? nil : try await firstKey(of: id)
        do { try fold.checkFloor(min(record.stream.floor, last)) } catch {
            throw OperationError(.data, "\(error)", persistenceID: id)
        }
        var count = 0
        try await streams.forEachPage(
            of: id, from: fold.sequenceNumber.next, through: last
        ) { (events) throws(FoldError) in
            for event in events {
                let applied = try fold.apply(event)
                if event.isEncrypted { key = event.encryptionKeyID }
                if event.sequenceNumber < steps.first { continue }
                steps.take(
                    ReplayStep(
                        sequenceNumber: event.sequenceNumber, timestamp: event.timestamp, event: applied.message,
                        state: fold.state, encryptionKeyID: key))
            }
            count += events.count
            progress(count)
        }
        let newest = try await store.latestSnapshot(of: id, through: last)?.sequenceNumber
        return ReplayedEntity(fold, record, through: last, snapshot: newest, encryptionKeyID: key, kind: behavior.kind)
    }

    /// The key of the entity's oldest record that is left; nil when that is not encrypted.
    private func firstKey(of id: PersistenceID) async throws -> String? {
        let snapshot = try await store.snapshots(of: id, from: 0, limit: PageLimit(rows: 1)).first
        if let snapshot, snapshot.isEncrypted { return snapshot.encryptionKeyID }
        let event = try await store.events(of: id, from: 1, through: .max, limit: PageLimit(rows: 1)).first
        return event.flatMap { $0.isEncrypted ? $0.encryptionKeyID : nil }
    }

    /// Where a trace begins: before `first`, at the newest snapshot that still leaves its event to be folded.
    private func start<Behavior: EventFolding>(
        _ behavior: Behavior, _ record: EntityRecord, before first: SequenceNumber
    ) async throws -> StreamFold<Behavior> {
        let id = record.persistenceID
        let streams = StreamReader(store: store, reader: domain.reader, page: page)
        if first > 1 { return try await streams.start(behavior, of: id, through: SequenceNumber(first.rawValue - 1)) }
        if record.stream.floor == .zero { return StreamFold(behavior, of: id, reader: domain.reader) }
        // Events were deleted: the trace begins after the oldest snapshot that covers them.
        let oldest = try await store.snapshots(of: id, from: record.stream.floor, limit: PageLimit(rows: 1)).first
        guard let oldest else { return StreamFold(behavior, of: id, reader: domain.reader) }
        return try StreamFold(behavior, from: oldest, reader: domain.reader)
    }

    private func lastNumber(of record: EntityRecord, _ end: End) async throws -> SequenceNumber {
        let id = record.persistenceID
        switch end {
        case .head: return record.stream.last
        case .sequenceNumber(let number):
            if number > record.stream.last {
                throw OperationError(
                    .notFound, "there is no event \(number): its last one is \(record.stream.last)",
                    persistenceID: id)
            }
            return number
        case .time(let time):
            var last = record.stream.floor
            var isAfter = false
            while !isAfter, last < record.stream.last {
                try Task.checkCancellation()
                let events = try await store.events(of: id, from: last.next, through: .max, limit: page)
                if events.isEmpty { break }
                for event in events {
                    isAfter = event.timestamp > time
                    if isAfter { break }
                    last = event.sequenceNumber
                }
            }
            if last == .zero {
                throw OperationError(.notFound, "there was no event at that time", persistenceID: id)
            }
            return last
        }
    }

    private func verify<Behavior: EventFolding>(
        _ behavior: Behavior, _ record: EntityRecord
    ) async throws -> [SnapshotMismatch] {
        let id = record.persistenceID
        let streams = StreamReader(store: store, reader: domain.reader, page: page)
        var mismatches: [SnapshotMismatch] = []
        var fold = try await start(behavior, record, before: 1)
        do { try fold.checkFloor(record.stream.floor) } catch {
            throw OperationError(.data, "\(error)", persistenceID: id)
        }
        var next: SequenceNumber = 0
        while true {
            let snapshots = try await store.snapshots(of: id, from: next, limit: page)
            guard let final = snapshots.last else { break }
            for snapshot in snapshots {
                let number = snapshot.sequenceNumber
                func mismatch(_ message: String, isAhead: Bool = false) {
                    mismatches.append(
                        SnapshotMismatch(
                            persistenceID: id, sequenceNumber: number, message: message, isAhead: isAhead))
                }
                if number > record.stream.last {
                    mismatch("the snapshot is ahead of the last event, \(record.stream.last)", isAhead: true)
                    continue
                }
                if number < fold.sequenceNumber { continue }  // its events were deleted; there is nothing to compare
                try await streams.forEachPage(
                    of: id, from: fold.sequenceNumber.next, through: number
                ) { (events) throws(FoldError) in
                    try fold.apply(events)
                }
                do throws(FoldError) {
                    let stored = try StreamFold(behavior, from: snapshot, reader: domain.reader)
                    if !stored.state.isEqualTo(message: fold.state) {
                        mismatch("the snapshot differs from the fold of the events")
                    }
                } catch {
                    mismatch("\(error)")
                }
            }
            next = final.sequenceNumber.next
        }
        // The events after the last snapshot have to fold too.
        try await streams.forEachPage(
            of: id, from: fold.sequenceNumber.next, through: record.stream.last
        ) { (events) throws(FoldError) in
            try fold.apply(events)
        }
        return mismatches
    }
}

/// What a replay gives for one entity.
public struct ReplayedEntity: Sendable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// Its kind; nil for a durable state whose writer recorded none.
    public var kind: String?
    /// The last event that the state includes, or the durable state's version.
    public var sequenceNumber: SequenceNumber
    /// How many stored events there are up to that one.
    public var eventCount: Int
    /// The snapshot that stands nearest before; nil when there is none.
    public var snapshotSequenceNumber: SequenceNumber?
    /// When that event was written.
    public var timestamp: Timestamp?
    /// The state.
    public var state: any Message
    /// The key of what is encrypted in the entity's history; nil when nothing is.
    public var encryptionKeyID: String?
}

extension ReplayedEntity {
    /// What a fold up to and including `last` gave.
    fileprivate init<Behavior: EventFolding>(
        _ fold: StreamFold<Behavior>, _ record: EntityRecord, through last: SequenceNumber, snapshot: SequenceNumber?,
        encryptionKeyID: String?, kind: String
    ) {
        self.init(
            persistenceID: record.persistenceID, kind: kind, sequenceNumber: fold.sequenceNumber,
            eventCount: Int(last.rawValue - min(record.stream.floor, last).rawValue),
            snapshotSequenceNumber: snapshot, timestamp: fold.timestamp, state: fold.state,
            encryptionKeyID: encryptionKeyID)
    }
}

/// One event of a replay and the state after it.
public struct ReplayStep: Sendable {
    /// The event's number.
    public var sequenceNumber: SequenceNumber
    /// When it was written.
    public var timestamp: Timestamp
    /// The event, in the current schema.
    public var event: any Message
    /// The state after it.
    public var state: any Message
    /// The key of what is encrypted in the entity's history up to here; nil when nothing is.
    public var encryptionKeyID: String?
}

/// Takes the steps of a replay.
public struct StepConsumer: Sendable {
    /// The first event that is wanted.
    public var first: SequenceNumber
    /// Called for each event, in order.
    public var take: @Sendable (ReplayStep) -> Void

    /// Takes the steps from an event on.
    public init(from first: SequenceNumber, _ take: @escaping @Sendable (ReplayStep) -> Void) {
        self.first = first
        self.take = take
    }
}

/// A snapshot that is not what its events give.
public struct SnapshotMismatch: Sendable, Hashable {
    /// The entity.
    public var persistenceID: PersistenceID
    /// The snapshot's number.
    public var sequenceNumber: SequenceNumber
    /// What is wrong.
    public var message: String
    /// Whether the snapshot is ahead of the entity's last event.
    public var isAhead = false
}
