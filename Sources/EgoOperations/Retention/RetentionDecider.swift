import Ego
import EgoCore
import SwiftProtobuf

/// Decides what of an entity may go: what the policy says, as far as every guard lets it.
struct RetentionDecider: Sendable {
    private let store: any Store
    private let domain: Domain
    private let page: PageLimit
    private let decodes: @Sendable (AnyPayload) -> Bool
    private let holds: Set<PersistenceID>
    private let consumers: [Consumer]

    /// Somebody who reads the journal, and how far he has come.
    private struct Consumer: Sendable {
        var name: String
        var offsets: [Shard: Offset]
        /// For those that count in timestamps.
        var moments: [Shard: Timestamp]?
    }

    /// - Parameter decodes: whether a payload of a type that the domain does not know can be read.
    init(
        store: any Store, domain: Domain, page: PageLimit, decodes: @escaping @Sendable (AnyPayload) -> Bool
    ) async throws {
        (self.store, self.domain, self.page, self.decodes) = (store, domain, page, decodes)
        holds = Set(try await store.holds().map(\.persistenceID))
        var consumers: [Consumer] = []
        for record in try await store.projections() {
            for version in [record.activeVersion, record.shadowVersion, record.previousVersion].compactMap(\.self) {
                let offsets = try await store.offsets(of: record.name, version: version)
                consumers.append(
                    Consumer(
                        name: record.name,
                        offsets: Dictionary(uniqueKeysWithValues: offsets.map { ($0.shard, $0.offset) })
                    ))
            }
        }
        var moments: [String: [Shard: Timestamp]] = [:]
        for offset in try await store.timestampOffsets() {
            moments[offset.projection, default: [:]][offset.shard] = offset.moment ?? Timestamp(unixNanoseconds: 0)
        }
        for (name, moments) in moments.sorted(by: { $0.key < $1.key }) {
            consumers.append(Consumer(name: name, offsets: [:], moments: moments))
        }
        self.consumers = consumers
    }

    /// What of an entity may go.
    @inline(never)
    func decide(_ entity: EntitySummary, _ policy: RetentionPolicy) async throws -> RetentionDecision {
        let id = entity.persistenceID
        let stream = try await store.stream(of: id)
        guard let stream, !stream.isErased else { return RetentionDecision(events: .zero) }
        var decision = RetentionDecision(events: stream.floor)
        let snapshots = try await snapshotNumbers(of: id).filter { $0 <= stream.last }
        var wanted = try await limit(of: policy, id, stream)
        // Only what is there to go can be held back.
        let wantsEvents = wanted > stream.floor
        let spare = (policy.keepSnapshots).map { snapshots.count > $0 } ?? false
        if !wantsEvents && !spare { return decision }
        if holds.contains(id) {
            decision.guards.append((.legalHold, RetentionGuard.heldDetail))
            return decision
        }
        let proven = try await newestProven(snapshots, of: id, stream, &decision)
        if wantsEvents {
            if proven < wanted {
                if snapshots.isEmpty { decision.guards.append((.noSnapshot, "it has no snapshot")) }
                wanted = min(wanted, max(proven, stream.floor))
            }
            try await count(id, from: stream.floor, through: wanted, shard: entity.shard, policy, &decision)
        }
        if let keep = policy.keepSnapshots, spare {
            // The proven one stays, whatever is newer; and one stays that stands for events that are gone.
            let last = snapshots[snapshots.count - keep - 1]
            let limit = proven > .zero ? min(last, SequenceNumber(proven.rawValue - 1)) : .zero
            decision.snapshots = limit
            decision.snapshotCount = snapshots.count { $0 <= limit }
        }
        return decision
    }

    // MARK: The policy

    /// The last event that the policy gives up, whatever the guards say, but for its age, which the events tell.
    @inline(never)
    private func limit(
        of policy: RetentionPolicy, _ id: PersistenceID, _ stream: StreamInfo
    ) async throws -> SequenceNumber {
        if !policy.isAboutEvents { return .zero }
        var limit = stream.last
        if !policy.closedBy.isEmpty {
            let last = try await store.events(
                of: id, from: stream.last, through: stream.last, limit: PageLimit(rows: 1))
            guard let event = last.first, let type = try? AnyPayload(serialized: event.payload).typeName,
                policy.closedBy.contains(type)
            else { return .zero }
        }
        if let keep = policy.keepEvents {
            limit = keep >= limit.rawValue ? .zero : SequenceNumber(limit.rawValue - keep)
        }
        return limit
    }

    // MARK: Snapshots

    @inline(never)
    private func snapshotNumbers(of id: PersistenceID) async throws -> [SequenceNumber] {
        var numbers: [SequenceNumber] = []
        var snapshots = try await store.snapshots(of: id, from: .zero, limit: page)
        while let last = snapshots.last {
            numbers += snapshots.map(\.sequenceNumber)
            snapshots = try await store.snapshots(of: id, from: last.sequenceNumber.next, limit: page)
        }
        return numbers
    }

    /// The newest snapshot that is right, or 0. A wrong one that is newer is noted as a guard.
    @inline(never)
    private func newestProven(
        _ snapshots: [SequenceNumber], of id: PersistenceID, _ stream: StreamInfo, _ decision: inout RetentionDecision
    ) async throws -> SequenceNumber {
        var waiting = snapshots[...].filter { $0 >= stream.floor }
        var proven = SequenceNumber.zero
        while proven == .zero, let number = waiting.popLast() {
            // It may have been deleted meanwhile.
            guard let snapshot = try await store.latestSnapshot(of: id, through: number),
                snapshot.sequenceNumber == number
            else { continue }
            if let problem = try await problem(of: snapshot, stream) {
                decision.guards.append((.unprovenSnapshot, "snapshot \(number): \(problem)"))
            } else {
                proven = number
            }
        }
        return proven
    }

    /// What is wrong with a snapshot; nil when it decodes, and is what the events give where a behavior can tell.
    @inline(never)
    private func problem(of snapshot: StoredSnapshot, _ stream: StreamInfo) async throws -> String? {
        let id = snapshot.persistenceID
        let payload: AnyPayload
        do { payload = try domain.reader.clear(snapshot) } catch { return "\(error)" }
        let resolver = EntityResolver(store: store, domain: domain)
        let record = EntityRecord(persistenceID: id, stream: stream, state: nil)
        guard let kind = try? await resolver.kind(of: id, record: record), let behavior = kind.folding else {
            let isKnown = (try? domain.messages.decode(payload)) != nil
            return isKnown || decodes(payload) ? nil : "message type \(payload.typeName) is not known here"
        }
        return try await problem(of: snapshot, behavior, stream)
    }

    @inline(never)
    private func problem<Behavior: EventFolding>(
        of snapshot: StoredSnapshot, _ behavior: Behavior, _ stream: StreamInfo
    ) async throws -> String? {
        let id = snapshot.persistenceID
        let stored: StreamFold<Behavior>
        do { stored = try StreamFold(behavior, from: snapshot, reader: domain.reader) } catch { return "\(error)" }
        var fold = StreamFold(behavior, of: id, reader: domain.reader)
        if stream.floor > .zero {
            // What an earlier retention has left stands for what is gone: it was proven then.
            let base = try await store.snapshots(of: id, from: stream.floor, limit: PageLimit(rows: 1)).first
            guard let base, base.sequenceNumber < snapshot.sequenceNumber else { return nil }
            do { fold = try StreamFold(behavior, from: base, reader: domain.reader) } catch { return "\(error)" }
        }
        do {
            try await StreamReader(store: store, reader: domain.reader, page: page).forEach(
                of: id, from: fold.sequenceNumber.next, through: snapshot.sequenceNumber
            ) { (event) throws(FoldError) in
                try fold.apply(event)
            }
        } catch {
            if error.code != .undecodable { throw error }
            return "its events do not fold: \(error.message)"
        }
        return stored.state.isEqualTo(message: fold.state) ? nil : "it is not what the events give"
    }

    // MARK: Events

    /// Walks the events that may go, and stops at the first that is too young, or that somebody has not passed.
    @inline(never)
    private func count(
        _ id: PersistenceID, from floor: SequenceNumber, through last: SequenceNumber, shard: Shard,
        _ policy: RetentionPolicy, _ decision: inout RetentionDecision
    ) async throws {
        var next = floor.next
        while next <= last {
            let events = try await read(id, next, last)
            next = take(events, shard, policy, &decision)
        }
    }

    @inline(never)
    private func read(
        _ id: PersistenceID, _ first: SequenceNumber, _ last: SequenceNumber
    ) async throws -> [PersistedEvent] {
        try Task.checkCancellation()
        return try await store.events(of: id, from: first, through: last, limit: page)
    }

    /// Takes events that may go; returns where to read on, past everything when no more may.
    private func take(
        _ events: [PersistedEvent], _ shard: Shard, _ policy: RetentionPolicy, _ decision: inout RetentionDecision
    ) -> SequenceNumber {
        for event in events {
            if let cutoff = policy.olderThan, event.timestamp.unixNanoseconds >= cutoff { return .max }
            if let name = waiting(for: event, shard) {
                decision.guards.append(
                    (.projection, "projection \(name) has not passed event \(event.sequenceNumber)"))
                return .max
            }
            decision.events = event.sequenceNumber
            decision.eventCount += 1
            decision.bytes += event.payload.count
        }
        return events.last?.sequenceNumber.next ?? .max
    }

    /// Who has not passed an event yet; nil when everybody has.
    private func waiting(for event: PersistedEvent, _ shard: Shard) -> String? {
        consumers.first { consumer in
            if let moments = consumer.moments {
                return moments[event.shard].map { $0 < event.timestamp } ?? true
            }
            return consumer.offsets[event.shard].map { $0 < event.offset } ?? true
        }?.name
    }
}
