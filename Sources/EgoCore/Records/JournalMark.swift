/// How many events of each shard a stretch of the journal holds. Stores keep one for every ``interval`` events, so that
/// counting what lies after an offset does not mean reading it.
package struct JournalMark: Sendable, Hashable {
    /// The last event of the stretch.
    package var end: Offset
    /// What it holds of each shard.
    package var shards: [Shard: Stretch]

    /// What a stretch holds of one shard.
    package struct Stretch: Sendable, Hashable {
        /// How many events.
        package var events: Int
        /// The last of them.
        package var last: Offset
        /// When that one was written, as the store keeps it.
        package var lastTimestamp: Int64
    }

    /// How many events a stretch has when it is made.
    package static let interval = 10_000
}

/// Makes marks of the events that come by, in the order of the journal.
package struct JournalMarker: Sendable {
    /// The marks of the stretches that are whole.
    package private(set) var marks: [JournalMark] = []
    private var shards: [Shard: JournalMark.Stretch] = [:]
    private var count = 0

    /// Begins a stretch.
    package init() {}

    /// Takes the next event.
    package mutating func add(_ offset: Offset, _ shard: Shard, _ timestamp: Int64) {
        shards[shard, default: JournalMark.Stretch(events: 0, last: offset, lastTimestamp: timestamp)].add(
            offset, timestamp)
        count += 1
        if count < JournalMark.interval { return }
        marks.append(JournalMark(end: offset, shards: shards))
        (shards, count) = ([:], 0)
    }
}

extension JournalMark.Stretch {
    fileprivate mutating func add(_ offset: Offset, _ timestamp: Int64) {
        events += 1
        last = offset
        lastTimestamp = timestamp
    }
}

/// Puts a backlog together from marks and from events that were counted.
package struct BacklogSum {
    private struct Entry {
        var events = 0
        var head: Offset?
        var headTimestamp: Timestamp?
    }

    private var entries: [Shard: Entry] = [:]

    /// A sum over the given shards.
    package init(_ shards: some Sequence<Shard>) {
        for shard in shards { entries[shard] = Entry() }
    }

    /// Adds events of one shard; shards that nobody asked for are left out.
    package mutating func add(_ events: Int, _ shard: Shard) { entries[shard]?.events += events }

    /// Notes an event of a shard; the last one is its head.
    package mutating func note(_ head: Offset, _ timestamp: Timestamp, _ shard: Shard) {
        guard let known = entries[shard], known.head.map({ $0 < head }) ?? true else { return }
        entries[shard]?.head = head
        entries[shard]?.headTimestamp = timestamp
    }

    /// The backlogs, ascending by shard.
    package var backlogs: [ShardBacklog] {
        entries.sorted { $0.key < $1.key }.map { shard, entry in
            ShardBacklog(
                shard: shard, events: entry.events, head: entry.head, headTimestamp: entry.headTimestamp)
        }
    }
}
