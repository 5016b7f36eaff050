import EgoCore

/// One event of one entity: without arrays, which take the server longer than the event does.
///
/// Without the lock it tries to take it, and writes nothing unless no other transaction was under way: an erasure that ended
/// between the statement's view and the lock would be one. It writes nothing of an entity that is not as expected either;
/// which of both it was is found out with the lock.
struct LoneWrite: Sendable {
    /// The event's number.
    let number: Int64
    private let parameters: [PostgresValue]
    private let kindNumber: Int?
    private let hasCommand: Bool
    private let isKnown: Bool
    private let trimmedJoin: String

    init(
        _ plan: AppendPlan, _ request: AppendRequest, knownShard: Int64?, shardCount: UInt32, clock: StoredClock,
        trimmedJoin: String
    ) {
        let (id, event, expected) = (request.persistenceID, request.events[0], plan.entities[0].expected)
        number = Int64(clamping: expected.next.rawValue)
        var parameters: [PostgresValue] = [
            .id(id), .sequence(expected), knownShard.map { .integer($0) } ?? .shard(Shard(of: id, count: shardCount)),
            .integer(clock.stored(event.timestamp)), .text(event.manifest), .bytes(event.payload),
            .text(event.encryptionKeyID), .bool(event.isEncrypted),
            // Not null: a null has no type, and would make another statement.
            .bytes(request.metadata.encoded), .bytes(event.unknownFields), .integer(event.payload.payloadChecksum),
        ]
        let (isFirst, commandID) = (expected == .zero, request.metadata.commandID)
        if let commandID { parameters.append(.text(commandID.rawValue)) }
        kindNumber = isFirst ? parameters.count + 1 : nil
        if isFirst { parameters.append(.optional(plan.entities[0].kind)) }
        self.parameters = parameters
        (hasCommand, isKnown, self.trimmedJoin) = (commandID != nil, knownShard != nil, trimmedJoin)
    }

    func statement(isLocked: Bool) -> PostgresStatement {
        if isKnown, !isLocked, kindNumber == nil, !hasCommand { return PostgresStatement(Self.ordinary, parameters) }
        let look: Look = isKnown ? .nowhere : isLocked || kindNumber != nil ? .everywhere : .amongEvents
        let insert = Self.insert(look, fence: isLocked ? "" : Self.fence, trimmedJoin: trimmedJoin)
        return PostgresStatement(
            Self.statement(insert, kindNumber: kindNumber, hasCommand: hasCommand), parameters)
    }

    /// Most appends are this.
    private static let ordinary = insert(.nowhere, fence: fence, trimmedJoin: "")

    /// Takes the lock and then a transaction ID: the next one after the statement's view unless somebody else has taken
    /// one, and with nobody under way in that view nobody can have committed since.
    private static let fence = """
         AND CASE WHEN pg_try_advisory_xact_lock_shared(\(PostgresStore.erasureLock))
            THEN pg_snapshot_xmin(pg_current_snapshot()) = pg_snapshot_xmax(pg_current_snapshot())
                AND pg_current_xact_id() = pg_snapshot_xmax(pg_current_snapshot())
            ELSE false END
        """

    /// Where the entity's expected event is looked for.
    private enum Look {
        /// It is known to be there.
        case nowhere
        case amongEvents
        /// Also among floors: the entity may have no event.
        case everywhere
    }

    private static func insert(_ look: Look, fence: String, trimmedJoin: String) -> String {
        let (shard, from) =
            switch look {
            case .nowhere: ("$3", "WHERE")
            case .amongEvents:
                ("shard_number", "FROM events_store WHERE persistence_id = $1 AND sequence_number = $2 AND")
            case .everywhere:
                (
                    "coalesce(found.shard_number, known.shard, v.shard)",
                    """
                    FROM (SELECT $1::text AS id, $2::int8 AS expected, $3::int8 AS shard) v
                    \(AppendStatements.placeJoins) \(trimmedJoin)
                    WHERE \(AppendStatements.place) = $2 AND
                    """
                )
            }
        return """
            INSERT INTO events_store (\(AppendStatements.columns))
            SELECT $1, $2 + 1, $4, $5, $6, $7, $8, CASE WHEN $9 <> '' THEN $9 END, CASE WHEN $10 <> '' THEN $10 END, $11,
                \(shard)
            \(from) NOT EXISTS (SELECT 1 FROM ego_tombstones WHERE persistence_id = $1)\(fence)
            \(AppendStatements.answer)
            """
    }

    private static func statement(_ insert: String, kindNumber: Int?, hasCommand: Bool) -> String {
        if kindNumber == nil, !hasCommand { return insert }
        let made = kindNumber.map { number in
            """
            , made AS (
                INSERT INTO ego_entities (persistence_id, kind, shard)
                SELECT $1, $\(number)::text, shard_number FROM added
                ON CONFLICT (persistence_id) DO UPDATE SET kind = coalesce(ego_entities.kind, excluded.kind)
            )
            """
        }
        let remembered = """
            , remembered AS (
                INSERT INTO ego_commands (persistence_id, command_id, before, after) SELECT $1, $12, $2, $2 + 1 FROM added
            )
            """
        return """
            WITH added AS (\(insert))\(made ?? "")\(hasCommand ? remembered : "")
            SELECT transaction_id, position, sequence_number, shard_number FROM added
            """
    }
}
