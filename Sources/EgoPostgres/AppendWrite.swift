import EgoCore

/// The statements that write a plan, and what their results say.
///
/// All or nothing: where an entity is not as expected, a statement fails, and with it the transaction
/// (``PostgresError/isRefusal``); a lone event is not written then. Unique keys decide against writers that the statements
/// cannot see yet, and against commands that were carried out before.
///
/// Whether an entity's expected event is there is looked up, which takes as long as the rest of a row. It is not, where
/// this process has seen it committed on the server that the statements are for (``WrittenEvents``).
struct AppendWrite: Sendable {
    /// Where the plan is one event.
    private let loneWrite: LoneWrite?
    /// What writes any other plan.
    private let grouped: [PostgresStatement]
    /// For each request, where its entity's last event is among the results.
    private let lastEvents: [Place?]
    /// The numbers of the events, for each of the first statements.
    private let numbers: [[Int64]]

    private struct Place {
        let statement: Int
        let row: Int
    }

    /// - Parameter shards: for each entity of the plan, its shard, where its expected event is known to be there.
    init(
        _ plan: AppendPlan, _ group: [AppendRequest], shards: [Int64?], shardCount: UInt32, clock: StoredClock,
        trimmedJoin: @autoclosure () -> String
    ) {
        if plan.isLone(group) {
            let write = LoneWrite(
                plan, group[0], knownShard: shards[0], shardCount: shardCount, clock: clock, trimmedJoin: trimmedJoin())
            (loneWrite, grouped) = (write, [])
            (lastEvents, numbers) = ([Place(statement: 0, row: 0)], [[write.number]])
            return
        }
        // By entity, so that groups that share entities take their keys in the same order.
        var writes: [(entity: Int, index: Int, before: SequenceNumber)] = []
        writes.reserveCapacity(group.count)
        for (index, decision) in plan.decisions.enumerated() {
            guard case .write(let before) = decision else { continue }
            writes.append((plan.owners[index], index, before))
        }
        writes.sort { ($0.entity, $0.index) < ($1.entity, $1.index) }
        let computed = plan.entities.map { Int64(Shard(of: $0.id, count: shardCount).rawValue) }
        var (known, unknown) = (EventColumns(), EventColumns())
        known.reserve(group.count)
        var commands = CommandColumns()
        var lastEvents = [Place?](repeating: nil, count: group.count)
        var hasEvents = [Bool](repeating: false, count: plan.entities.count)
        var (lastEntity, lastEvent) = (-1, Place?.none)
        for (owner, index, before) in writes {
            let (request, entity) = (group[index], plan.entities[owner])
            if let commandID = request.metadata.commandID {
                commands.add(entity.id, commandID, before, before.advanced(by: request.events.count))
            }
            if owner != lastEntity { (lastEntity, lastEvent) = (owner, nil) }
            if !request.events.isEmpty {
                hasEvents[owner] = true
                if let shard = shards[owner] {
                    known.add(request, of: entity, after: before, shard: shard, clock)
                    lastEvent = Place(statement: 0, row: known.count - 1)
                } else {
                    unknown.add(request, of: entity, after: before, shard: computed[owner], clock)
                    lastEvent = Place(statement: 1, row: unknown.count - 1)
                }
            }
            // A command without events is where its entity's last event is.
            lastEvents[index] = lastEvent
        }
        var statements: [PostgresStatement] = []
        var numbers: [[Int64]] = []
        if !known.isEmpty {
            statements.append(PostgresStatement(AppendStatements.insertKnown, known.values))
            numbers.append(known.numbers)
        } else {
            lastEvents = lastEvents.map { $0.map { Place(statement: 0, row: $0.row) } }
        }
        if !unknown.isEmpty {
            statements.append(
                PostgresStatement(AppendStatements.insert(trimmedJoin: trimmedJoin()), unknown.valuesToLookFor))
            numbers.append(unknown.numbers)
        }
        let bare = plan.entities.indices.filter { !hasEvents[$0] }
        if !bare.isEmpty {
            statements.append(
                PostgresStatement(
                    AppendStatements.check(trimmedJoin: trimmedJoin()),
                    [
                        .texts(bare.map { plan.entities[$0].id.rawValue }),
                        .integers(bare.map { Int64(clamping: plan.entities[$0].expected.rawValue) }),
                    ]))
        }
        let first = plan.entities.indices.filter { plan.entities[$0].expected == .zero }
        if !first.isEmpty {
            statements.append(
                PostgresStatement(
                    AppendStatements.insertEntities,
                    [
                        .texts(first.map { plan.entities[$0].id.rawValue }),
                        .texts(first.map { plan.entities[$0].kind }),
                        .integers(first.map { computed[$0] }),
                    ]))
        }
        if !commands.isEmpty {
            statements.append(PostgresStatement(AppendStatements.insertCommands, commands.values))
        }
        (loneWrite, grouped) = (nil, statements)
        (self.lastEvents, self.numbers) = (lastEvents, numbers)
    }

    /// Need ``PostgresStore/lockShared`` before them in their transaction.
    var statements: [PostgresStatement] { loneWrite.map { [$0.statement(isLocked: true)] } ?? grouped }

    /// The statement that writes one event by itself without the lock, where the plan is no more; see ``LoneWrite``.
    var lone: PostgresStatement? { loneWrite?.statement(isLocked: false) }

    /// Where a request's entity has its last event.
    struct Written: Sendable {
        let offset: Offset
        let number: SequenceNumber
        let shard: Int64
    }

    /// The last event of each request, nil where there is none; nil for all when nothing was written.
    ///
    /// - Parameter results: of ``statements``, or of ``lone`` alone.
    func written(_ results: [PostgresResult]) -> [Written?]? {
        if loneWrite != nil, results[0].rowCount == 0 { return nil }
        let inserted = zip(results, numbers).map { result, numbers in
            // Rows come in the order in which they were written. Nothing says so, so it is looked at.
            let rows = result.rows
            let isInOrder = rows.count == numbers.count && zip(rows, numbers).allSatisfy { $0.integer(2) == $1 }
            return isInOrder ? rows : nil
        }
        return lastEvents.map { place in
            guard let place, let row = inserted[place.statement]?[place.row] else { return nil }
            return Written(
                offset: Offset(transactionID: row.transactionID(0), position: Position(row.integer(1))),
                number: SequenceNumber(UInt64(clamping: row.integer(2))), shard: row.integer(3))
        }
    }
}

extension AppendPlan {
    /// The outcome of each request, given the place of the last event of each that was written.
    func settled(_ offsets: [Offset?], _ group: [AppendRequest]) -> [AppendOutcome] {
        zip(decisions, group).enumerated().map { index, pair in
            switch pair.0 {
            case .outcome(let outcome): return outcome
            case .write(let before):
                let last = before.advanced(by: pair.1.events.count)
                return .appended(last: last, offset: index < offsets.count ? offsets[index] ?? .start : .start)
            }
        }
    }
}
