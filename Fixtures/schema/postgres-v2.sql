SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.account_balances_v1 (
    account text NOT NULL,
    balance double precision NOT NULL
);
CREATE VIEW public.account_balances AS
 SELECT account_balances_v1.account,
    account_balances_v1.balance
   FROM public.account_balances_v1;
CREATE TABLE public.ego_audit (
    number bigint NOT NULL,
    "timestamp" bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    arguments text NOT NULL,
    reason text NOT NULL,
    result text NOT NULL,
    previous_hash text NOT NULL,
    hash text NOT NULL
);
CREATE TABLE public.ego_commands (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    command_id text NOT NULL COLLATE pg_catalog."C",
    before bigint NOT NULL,
    after bigint NOT NULL
);
CREATE TABLE public.ego_dead_letters (
    projection text NOT NULL COLLATE pg_catalog."C",
    version bigint NOT NULL,
    transaction_id xid8 NOT NULL,
    "position" bigint NOT NULL,
    shard bigint NOT NULL,
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    sequence_number bigint NOT NULL,
    type text NOT NULL,
    error text NOT NULL,
    attempts bigint NOT NULL,
    failed_at bigint NOT NULL
);
CREATE TABLE public.ego_entities (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    kind text,
    shard bigint,
    floor bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.ego_holds (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL,
    placed_at bigint NOT NULL
);
CREATE TABLE public.ego_jobs (
    id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    state text NOT NULL,
    arguments text NOT NULL,
    checkpoint text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
CREATE TABLE public.ego_journal_marks (
    transaction_id xid8 NOT NULL,
    "position" bigint NOT NULL,
    shard bigint NOT NULL,
    events bigint NOT NULL,
    last_transaction_id xid8 NOT NULL,
    last_position bigint NOT NULL,
    last_timestamp bigint NOT NULL
);
CREATE TABLE public.ego_keys (
    id text NOT NULL COLLATE pg_catalog."C",
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    wrapped bytea,
    created_at bigint NOT NULL
);
CREATE TABLE public.ego_leases (
    name text NOT NULL COLLATE pg_catalog."C",
    owner text,
    generation bigint NOT NULL,
    acquired_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE TABLE public.ego_metadata (
    key text NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.ego_offsets (
    projection text NOT NULL COLLATE pg_catalog."C",
    shard bigint NOT NULL,
    transaction_id xid8 NOT NULL,
    "position" bigint NOT NULL,
    committed_at bigint NOT NULL,
    version bigint NOT NULL,
    event_timestamp bigint
);
CREATE SEQUENCE public.ego_position
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE public.ego_projections (
    name text NOT NULL COLLATE pg_catalog."C",
    mode text NOT NULL,
    active_version bigint NOT NULL,
    shadow_version bigint,
    previous_version bigint,
    revision bigint NOT NULL,
    details bytea NOT NULL
);
CREATE TABLE public.ego_tombstones (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    sequence_number bigint NOT NULL,
    erased_at bigint NOT NULL
);
CREATE TABLE public.ego_trimmed (
    only_row boolean NOT NULL,
    transaction_id xid8 NOT NULL,
    "position" bigint NOT NULL,
    CONSTRAINT ego_trimmed_only_row_check CHECK (only_row)
);
CREATE TABLE public.events_store (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    sequence_number bigint NOT NULL,
    is_deleted boolean DEFAULT false NOT NULL,
    event_payload bytea NOT NULL,
    event_manifest character varying(255) NOT NULL,
    "timestamp" bigint NOT NULL,
    shard_number bigint NOT NULL,
    encryption_key_id character varying(255) DEFAULT ''::character varying NOT NULL,
    is_encrypted boolean DEFAULT false NOT NULL,
    transaction_id xid8 DEFAULT pg_current_xact_id(),
    "position" bigint DEFAULT nextval('public.ego_position'::regclass),
    metadata bytea,
    unknown_fields bytea
);
CREATE TABLE public.offsets_store (
    projection_name character varying(255) NOT NULL,
    shard_number bigint NOT NULL,
    current_offset bigint NOT NULL,
    "timestamp" bigint NOT NULL
);
CREATE TABLE public.snapshots_store (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    sequence_number bigint NOT NULL,
    state_payload bytea NOT NULL,
    state_manifest character varying(255) NOT NULL,
    "timestamp" bigint NOT NULL,
    encryption_key_id character varying(255) DEFAULT ''::character varying NOT NULL,
    is_encrypted boolean DEFAULT false NOT NULL
);
CREATE TABLE public.states_store (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    version_number bigint NOT NULL,
    state_payload bytea NOT NULL,
    state_manifest character varying(255) NOT NULL,
    "timestamp" bigint NOT NULL,
    shard_number bigint NOT NULL,
    metadata bytea
);
INSERT INTO public.account_balances_v1 VALUES ('acc-1', 532.2);
INSERT INTO public.account_balances_v1 VALUES ('acc-2', 1049.53);
INSERT INTO public.account_balances_v1 VALUES ('acc-3', 402.16999999999996);
INSERT INTO public.ego_entities VALUES ('acc-1', 'account', 1, 0);
INSERT INTO public.ego_entities VALUES ('acc-2', 'account', 15, 0);
INSERT INTO public.ego_entities VALUES ('acc-3', 'account', 9, 0);
INSERT INTO public.ego_leases VALUES ('projection/balances', NULL, 1, 1795460136735290476, 1795460146735290476);
INSERT INTO public.ego_metadata VALUES ('schema_version', '2');
INSERT INTO public.ego_metadata VALUES ('store_id', '96b8cffb-30d1-4ea9-be0f-a0035c77cd30');
INSERT INTO public.ego_metadata VALUES ('shard_count', '16');
INSERT INTO public.ego_metadata VALUES ('origin', 'ego');
INSERT INTO public.ego_metadata VALUES ('ordered', 'true');
INSERT INTO public.ego_offsets VALUES ('balances', 0, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 1, '8835', 30, 1795460136745720618, 1, 1767225629000000000);
INSERT INTO public.ego_offsets VALUES ('balances', 2, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 3, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 4, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 5, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 6, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 7, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 8, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 9, '8835', 30, 1795460136745720618, 1, 1767225627000000000);
INSERT INTO public.ego_offsets VALUES ('balances', 10, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 11, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 12, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 13, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 14, '8835', 30, 1795460136745720618, 1, NULL);
INSERT INTO public.ego_offsets VALUES ('balances', 15, '8835', 30, 1795460136745720618, 1, 1767225628000000000);
INSERT INTO public.ego_projections VALUES ('balances', 'running', 1, NULL, NULL, 1, '\x125a0a106163636f756e745f62616c616e636573123b6163636f756e742054455854205052494d415259204b45592c2062616c616e636520444f55424c4520505245434953494f4e204e4f54204e554c4c22076163636f756e742801');
INSERT INTO public.ego_trimmed VALUES (true, '0', 0);
INSERT INTO public.events_store VALUES ('acc-1', 1, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744372656174656412100a056163632d3111e17a14ae475d7840', 'google.protobuf.Any', 1767225600000000000, 1, '', false, '8835', 1, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 2, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d31110ad7a3703d267c40', 'google.protobuf.Any', 1767225601000000000, 1, '', false, '8835', 2, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 3, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3111ae47e17a142e5f40', 'google.protobuf.Any', 1767225602000000000, 1, '', false, '8835', 3, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 4, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d3111b81e85eb51c85040', 'google.protobuf.Any', 1767225603000000000, 1, '', false, '8835', 4, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 5, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d3111d7a3703d0aff7d40', 'google.protobuf.Any', 1767225604000000000, 1, '', false, '8835', 5, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 6, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d31115c8fc2f528007b40', 'google.protobuf.Any', 1767225605000000000, 1, '', false, '8835', 6, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 7, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d3111ae47e17a14666440', 'google.protobuf.Any', 1767225606000000000, 1, '', false, '8835', 7, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 8, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3111713d0ad7a3147540', 'google.protobuf.Any', 1767225607000000000, 1, '', false, '8835', 8, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 9, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d311114ae47e17a7c6a40', 'google.protobuf.Any', 1767225608000000000, 1, '', false, '8835', 9, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 10, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3111cdcccccccc2c4340', 'google.protobuf.Any', 1767225609000000000, 1, '', false, '8835', 10, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 11, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d311185eb51b81e597e40', 'google.protobuf.Any', 1767225611000000000, 1, '', false, '8835', 11, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 12, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d31119a99999999a96140', 'google.protobuf.Any', 1767225612000000000, 1, '', false, '8835', 12, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 13, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d31110000000000005640', 'google.protobuf.Any', 1767225614000000000, 1, '', false, '8835', 13, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 14, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d3111295c8fc2f5f86340', 'google.protobuf.Any', 1767225616000000000, 1, '', false, '8835', 14, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 15, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d3111b81e85eb51ec7140', 'google.protobuf.Any', 1767225619000000000, 1, '', false, '8835', 15, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 16, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3111e17a14ae47097840', 'google.protobuf.Any', 1767225629000000000, 1, '', false, '8835', 16, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 1, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744372656174656412100a056163632d3211cdcccccccc2e8c40', 'google.protobuf.Any', 1767225610000000000, 15, '', false, '8835', 17, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 2, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d3211713d0ad7a3f04240', 'google.protobuf.Any', 1767225613000000000, 15, '', false, '8835', 18, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 3, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3211713d0ad7a3e06740', 'google.protobuf.Any', 1767225615000000000, 15, '', false, '8835', 19, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 4, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d32117b14ae47e16a7a40', 'google.protobuf.Any', 1767225617000000000, 15, '', false, '8835', 20, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 5, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d32119a99999999996640', 'google.protobuf.Any', 1767225618000000000, 15, '', false, '8835', 21, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 6, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3211cdccccccccd47140', 'google.protobuf.Any', 1767225621000000000, 15, '', false, '8835', 22, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 7, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d32119a99999999296740', 'google.protobuf.Any', 1767225622000000000, 15, '', false, '8835', 23, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 8, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d3211d7a3703d0af76c40', 'google.protobuf.Any', 1767225623000000000, 15, '', false, '8835', 24, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 9, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3211c3f5285c8fd26d40', 'google.protobuf.Any', 1767225626000000000, 15, '', false, '8835', 25, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 10, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d32113333333333237640', 'google.protobuf.Any', 1767225628000000000, 15, '', false, '8835', 26, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-3', 1, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744372656174656412100a056163632d3311ae47e17a142a7f40', 'google.protobuf.Any', 1767225620000000000, 9, '', false, '8835', 27, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-3', 2, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d3311d7a3703d0a4f7840', 'google.protobuf.Any', 1767225624000000000, 9, '', false, '8835', 28, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-3', 3, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d33117b14ae47e1c26640', 'google.protobuf.Any', 1767225625000000000, 9, '', false, '8835', 29, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-3', 4, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3311295c8fc2f5985b40', 'google.protobuf.Any', 1767225627000000000, 9, '', false, '8835', 30, NULL, NULL);
SELECT pg_catalog.setval('public.ego_position', 30, true);
ALTER TABLE ONLY public.account_balances_v1
    ADD CONSTRAINT account_balances_v1_pkey PRIMARY KEY (account);
ALTER TABLE ONLY public.ego_audit
    ADD CONSTRAINT ego_audit_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.ego_commands
    ADD CONSTRAINT ego_commands_pkey PRIMARY KEY (persistence_id, command_id);
ALTER TABLE ONLY public.ego_dead_letters
    ADD CONSTRAINT ego_dead_letters_pkey PRIMARY KEY (projection, version, transaction_id, "position");
ALTER TABLE ONLY public.ego_entities
    ADD CONSTRAINT ego_entities_pkey PRIMARY KEY (persistence_id);
ALTER TABLE ONLY public.ego_holds
    ADD CONSTRAINT ego_holds_pkey PRIMARY KEY (persistence_id);
ALTER TABLE ONLY public.ego_jobs
    ADD CONSTRAINT ego_jobs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ego_journal_marks
    ADD CONSTRAINT ego_journal_marks_pkey PRIMARY KEY (transaction_id, "position", shard);
ALTER TABLE ONLY public.ego_keys
    ADD CONSTRAINT ego_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ego_leases
    ADD CONSTRAINT ego_leases_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.ego_metadata
    ADD CONSTRAINT ego_metadata_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.ego_offsets
    ADD CONSTRAINT ego_offsets_pkey PRIMARY KEY (projection, version, shard);
ALTER TABLE ONLY public.ego_projections
    ADD CONSTRAINT ego_projections_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.ego_tombstones
    ADD CONSTRAINT ego_tombstones_pkey PRIMARY KEY (persistence_id);
ALTER TABLE ONLY public.ego_trimmed
    ADD CONSTRAINT ego_trimmed_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY public.events_store
    ADD CONSTRAINT events_store_pkey PRIMARY KEY (persistence_id, sequence_number);
ALTER TABLE ONLY public.offsets_store
    ADD CONSTRAINT offsets_store_pkey PRIMARY KEY (projection_name, shard_number);
ALTER TABLE ONLY public.snapshots_store
    ADD CONSTRAINT snapshots_store_pkey PRIMARY KEY (persistence_id, sequence_number);
ALTER TABLE ONLY public.states_store
    ADD CONSTRAINT states_store_pkey PRIMARY KEY (persistence_id);
CREATE INDEX ego_dead_letters_entity ON public.ego_dead_letters USING btree (persistence_id);
CREATE UNIQUE INDEX ego_events_order ON public.events_store USING btree (transaction_id, "position");
CREATE INDEX ego_keys_entity ON public.ego_keys USING btree (persistence_id);
GRANT USAGE ON SEQUENCE public.ego_position TO PUBLIC;
