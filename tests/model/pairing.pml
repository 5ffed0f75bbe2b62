/* Pairing, from the first hello to a token that lasts: device, broker, two bridge replicas, authorization server (AS), human.
 * Not the code, and no proof of it: README.md says which process stands for which file, and what is left out.
 *
 * MISFORTUNES  how many things go wrong, of any kind and anywhere: a frame lost, held back, doubled; a reply too late; a replica
 *              crashed; the power cut; the link lost; the AS unreachable, or reached and its answer lost, or wanting a nonce;
 *              a wrong PIN, a typo, a pause; a minute gone by. After the last one the world is well.
 * BLIND        two stricter promises are not looked at: they would hide `charged`.
 * FEW          fewer kinds of them: see `rare`.
 * BREAK_x      seeded mutants (README.md). Each takes one guard away.
 */
#ifndef MISFORTUNES
#define MISFORTUNES 2
#endif
#ifndef REFRESHES
#define REFRESHES 1
#endif
#define MAX_TRIES 2          /* storage has 5: one wrong answer and a locked session are told apart by 2 */
#define BOUND 32
#define KEYS 12
#define SESSIONS 6
#define CODES 8
#define WRONG_PIN 31

/* authorization.py, STATES */
mtype = { OFFLINE, GREETING, PROVING, DISCOVERING, CHALLENGING, WAITING, ANSWERING, REDEEMING, READY, REFRESHING, CALLING, RESTING,
          LOCKED, STOPPED };
/* frames and replies */
mtype = { step_1, step_2, step_3, step_4, refusal, sealed };
mtype = { discover_, challenge_, redeem_, refresh_ };
mtype = { none, offer, prompt, code, tokens, wrong_answer, locked, invalid_session, invalid_grant, try_later, use_dpop_nonce,
          invalid };

/* A row of authorization.py's TRANSITIONS; test_model.py compares them word for word. */
#define row(scope,when,deed,be) st = be
#define same st

/* frame: step or sealed, key or hello's number, PIV, rid, request or reply, two values, verifier */
#define FRAME mtype, byte, byte, byte, mtype, byte, byte, byte
chan hello = [2] of { FRAME };
chan up[2] = [3] of { FRAME };
chan down = [4] of { FRAME };
chan http[2] = [3] of { byte, byte, mtype, byte, byte, byte };   /* key, rid, request, two values, verifier */
chan answers[2] = [3] of { byte, byte, mtype, byte, byte };      /* key, rid, reply, two values */
#define quiet (len(hello) + len(up[0]) + len(up[1]) + len(down) + len(http[0]) + len(http[1]) + len(answers[0]) + \
               len(answers[1]) == 0)

byte luck = MISFORTUNES;
#define misfortune luck > 0 -> luck--
/* FEW: only the power, the link and replies too late, so that three of them can be searched. */
#ifdef FEW
#define rare 0 && luck > 0 -> luck--
#else
#define rare misfortune
#endif

/* What is counted to judge by; no process acts on it. */
byte entries, charged, pin_key, heard;
bool stolen;
byte redeemed[CODES];
byte next_up[KEYS], next_down[KEYS];

/* --- The AS: challenge_endpoint.py, token_endpoint.py, storage/ ------------------------------------------------------------- */
byte handles, sessions, codes, families;
byte s_first[SESSIONS], s_handle[SESSIONS], s_before[SESSIONS], s_verifier[SESSIONS], s_tries[SESSIONS];
bool s_live[SESSIONS], s_done[SESSIONS], s_pin[SESSIONS];
byte c_session[CODES], c_family[CODES];
bool c_used[CODES], c_revoked[CODES];
byte f_session[CODES], f_newest[CODES];
#ifdef BREAK_LATE_SUCCESSOR
byte f_late[CODES];                                              /* what came before this one is older than a minute */
#endif
bool f_live[CODES];
int proofs;                                                      /* jti's seen; each rid has its own proof */

/* --- The device: agent.py, conversation.py, token_keeper.py. Kept is the journal. --------------------------------------------- */
mtype st = OFFLINE;
byte verifier, auth_session, family, generation;
byte kept_verifier, kept_auth_session, kept_family, kept_generation;
bool access_token;
#define paired (st == READY && f_live[family] && generation == f_newest[family])

#ifdef BLIND
#define keeps(promise) true
#else
#define keeps(promise) assert(promise)
#endif
inline revoke_family(f) {
    if
    :: f_live[f] -> keeps(stolen || (f != family && f != kept_family)); f_live[f] = false
    :: else
    fi
}

inline give_code(s) {
    i = 1;
    do
    :: i <= codes && c_session[i] == s -> c_revoked[i] = true; i++
    :: i <= codes && c_session[i] != s -> i++
    :: else -> break
    od;
    i = 1;
    do
    :: i <= families && f_session[i] == s -> revoke_family(i); i++
    :: i <= families && f_session[i] != s -> i++
    :: else -> break
    od;
    codes++;
    assert(codes < CODES);
    c_session[codes] = s;
    reply = code; x = s_handle[s]; y = codes
}

inline challenge_endpoint() {
    if
    :: a == 0 ->
        s = 1;
        do                                                       /* the same code_challenge: said again, or overtaken */
        :: s <= sessions && !(s_live[s] && s_verifier[s] == v) -> s++
        :: else -> break
        od;
        if
#ifndef BREAK_FIRST_AGAIN
        :: s <= sessions && s_handle[s] == s_first[s] -> reply = prompt; x = s_handle[s]; y = 0
        :: s <= sessions && s_handle[s] != s_first[s] -> reply = invalid_session; x = 0; y = 0
        :: s > sessions ->
#else
        :: true ->
#endif
            i = 1;
            do                                                   /* end_waiting_sessions */
            :: i <= sessions && !s_done[i] -> s_live[i] = false; i++
            :: i <= sessions && s_done[i] -> i++
            :: else -> break
            od;
            sessions++; handles++;
            assert(sessions < SESSIONS);
            s_live[sessions] = true; s_first[sessions] = handles; s_handle[sessions] = handles; s_verifier[sessions] = v;
            reply = prompt; x = handles; y = 0
        fi
    :: else ->
        s = 1; superseded = false;
        do
        :: s <= sessions && !(s_live[s] && s_handle[s] == a) -> s++
        :: else -> break
        od;
        if
        :: s > sessions ->
            superseded = true; s = 1;
            do
            :: s <= sessions && !(s_live[s] && s_before[s] == a) -> s++
            :: else -> break
            od
        :: else
        fi;
        if
        :: s > sessions -> reply = invalid_session; x = 0; y = 0
#ifndef BREAK_SUPERSEDED_ANSWERS
        :: s <= sessions && superseded && b != 0 -> reply = invalid_session; x = 0; y = 0
        :: s <= sessions && !(superseded && b != 0) ->
#else
        :: s <= sessions ->
#endif
#ifndef BREAK_ROTATION
            handles++;
            if
#ifndef BREAK_EXCEPTION
            :: !superseded -> s_before[s] = s_handle[s]
#endif
            :: else -> s_before[s] = 0
            fi;
            s_handle[s] = handles;
#endif
            if
#ifdef BREAK_FRESH_CODE
            :: s_done[s] -> reply = code; x = s_handle[s]; y = 1;
                do
                :: y < codes && c_session[y] != s -> y++
                :: else -> break
                od
#else
            :: s_done[s] -> give_code(s)
#endif
            :: !s_done[s] && b == 0 && s_tries[s] < MAX_TRIES -> reply = prompt; x = s_handle[s]; y = 0
            :: !s_done[s] && s_tries[s] >= MAX_TRIES -> reply = locked; x = s_handle[s]; y = 0
            :: !s_done[s] && b != 0 && s_tries[s] < MAX_TRIES ->
                s_tries[s]++; charged++;
                keeps(rid > heard);                              /* given up: the device knows since where it stands */
                assert(charged <= entries);
                if
                :: b == s && s_pin[s] -> s_pin[s] = false; s_tries[s]--; s_done[s] = true; give_code(s)
                :: !(b == s && s_pin[s]) && s_tries[s] == MAX_TRIES -> s_pin[s] = false; reply = locked; x = s_handle[s]; y = 0
                :: !(b == s && s_pin[s]) && s_tries[s] < MAX_TRIES -> reply = wrong_answer; x = s_handle[s]; y = 0
                fi
            fi
        fi
    fi
}

inline reuse(c) {
#ifndef BREAK_REUSE_REVOKES
    revoke_family(c_family[c]);
#endif
    assert(!f_live[c_family[c]])
}

inline redeem_code() {
    if
#ifndef BREAK_SINGLE_USE
    :: c_used[a] -> reuse(a); reply = invalid_grant; x = 0; y = 0
    :: !c_used[a] && (c_revoked[a] || s_verifier[c_session[a]] != v) -> reply = invalid_grant; x = 0; y = 0
    :: !c_used[a] && !c_revoked[a] && s_verifier[c_session[a]] == v ->
#else
    :: c_revoked[a] || s_verifier[c_session[a]] != v -> reply = invalid_grant; x = 0; y = 0
    :: !c_revoked[a] && s_verifier[c_session[a]] == v ->
#endif
        families++; redeemed[a]++;
        assert(redeemed[a] <= 1);
        c_used[a] = true; c_family[a] = families;
        f_live[families] = true; f_session[families] = c_session[a]; f_newest[families] = 1;
#ifndef BREAK_REDEEMED_SUPERSEDES
        s_before[c_session[a]] = 0;
#endif
        reply = tokens; x = families; y = 1
    fi
}

inline refresh_token() {
    if
    :: !f_live[a] -> reply = invalid_grant; x = 0; y = 0
    :: f_live[a] && b == f_newest[a] -> f_newest[a]++; reply = tokens; x = a; y = b + 1
#ifdef BREAK_GRACE
    :: f_live[a] && b < f_newest[a] -> revoke_family(a); reply = invalid_grant; x = 0; y = 0
#else
#ifdef BREAK_LATE_SUCCESSOR
    :: f_live[a] && b < f_newest[a] && b >= f_late[a] -> reply = tokens; x = a; y = b + 1
    :: f_live[a] && b < f_newest[a] && b < f_late[a] -> revoke_family(a); reply = invalid_grant; x = 0; y = 0
#else
    :: f_live[a] && b + 1 == f_newest[a] -> reply = tokens; x = a; y = b + 1
    :: f_live[a] && b + 1 < f_newest[a] -> reply = invalid_grant; x = 0; y = 0
#endif
#endif
    fi
}

inline serve(r) {
    http[r]?k, rid, op, a, b, v;
    if
    :: true ->
#ifndef BREAK_PROOFS
        if
        :: proofs & (1 << rid) -> reply = invalid; x = 0; y = 0
        :: else ->
            proofs = proofs | (1 << rid);
#endif
            if
            :: op == challenge_ -> challenge_endpoint()
            :: op == redeem_ -> redeem_code()
            :: op == refresh_ -> refresh_token()
            fi
#ifndef BREAK_PROOFS
        fi
#endif
        ;
        if
        :: true
        :: rare; reply = try_later; x = 0; y = 0           /* answered, and the answer lost between AS and bridge */
        fi
    :: rare; reply = try_later; x = 0; y = 0               /* not reached */
    :: rare; reply = use_dpop_nonce; x = 0; y = 0          /* before anything else: dpop.accept */
    fi;
    answers[r]!k, rid, reply, x, y;
    k = 0; rid = 0; a = 0; b = 0; v = 0; s = 0; i = 0; x = 0; y = 0; superseded = false; op = none; reply = none
}

proctype Server() {
    byte k, rid, a, b, v, s, i, x, y;
    bool superseded;
    mtype op = none, reply = none;
end:
    do
    :: atomic { nempty(http[0]) -> serve(0) }
    :: atomic { nempty(http[1]) -> serve(1) }
    :: atomic { codes > 0 && c_used[codes] && rare;        /* a thief: somebody else presents a used code */
        stolen = true; reuse(codes); stolen = false }
    :: atomic { rare;                                      /* a minute: codes run out */
#ifdef BREAK_LATE_SUCCESSOR
        i = 1;
        do
        :: i <= families -> f_late[i] = f_newest[i]; i++
        :: else -> break
        od;
#endif
        i = 1;
        do
        :: i <= codes -> c_revoked[i] = true; i++
        :: else -> break
        od;
        i = 0 }
    od
}

/* --- A bridge replica: devices.py and exchange.py ---------------------------------------------------------------------------- */
byte keys;                                                       /* every handshake has fresh keys: EDHOC's ephemeral ones */

inline say(key, rid_, reply_, x_, y_) {
    assert(piv >= next_down[key]);
    next_down[key] = piv + 1;
    down!sealed, key, piv, rid_, reply_, x_, y_, 0;
    piv++
}

proctype Replica(byte r) {
    byte pending_hello, pending_key, confirmed, was_confirmed, highest, piv;
    bool proven;
    byte last_rid, last_x, last_y;                               /* the reply cache; PIVs rule out older rids than the last */
    mtype last = none;
    mtype t = none, op = none;
    byte k, p, rid, a, b, v;
end:
    do
    :: atomic { hello?t, k, p, rid, op, a, b, v ->
#ifdef BREAK_HELLO_EVICTS
        confirmed = 0;
#endif
        if
        :: pending_hello == k && !proven
        :: else -> keys++; assert(keys < KEYS); pending_hello = k; pending_key = keys; proven = false
        fi;
        down!step_2, pending_key, r, pending_hello, none, 0, 0, 0;
        t = none; k = 0; p = 0; rid = 0; op = none; a = 0; b = 0; v = 0 }

    :: atomic { up[r]?t, k, p, rid, op, a, b, v ->
        if
        :: t == step_3 && k == pending_key -> proven = true; down!step_4, k, 0, 0, none, 0, 0, 0
        :: t == step_3 && k != pending_key && !proven ->
            pending_hello = 0; pending_key = 0; down!refusal, 0, 0, 0, none, 0, 0, 0
        :: t == step_3 && k != pending_key && proven             /* out of turn */
        :: t == sealed ->
            if
            :: proven && k == pending_key ->                     /* rule 5: the first valid frame confirms */
                confirmed = k; was_confirmed = k; highest = 0; piv = 0; last_rid = 0; last = none; last_x = 0; last_y = 0;
                proven = false; pending_hello = 0; pending_key = 0
            :: else
            fi;
            assert(k != was_confirmed || k == confirmed);
            if
            :: k != confirmed -> down!refusal, 0, 0, 0, none, 0, 0, 0
            :: k == confirmed && p < highest                     /* rule 2: a replay */
            :: k == confirmed && p >= highest ->
                highest = p + 1;
                if
#ifndef BREAK_RID_CACHE
                :: rid == last_rid && last == none               /* still asking */
                :: rid == last_rid && last != none -> say(k, rid, last, last_x, last_y)
                :: rid != last_rid && op == discover_ -> last_rid = rid; last = offer; last_x = 0; last_y = 0; say(k, rid, offer, 0, 0)
                :: rid != last_rid && op != discover_ ->
#else
                :: op == discover_ -> say(k, rid, offer, 0, 0)
                :: op != discover_ ->
#endif
                    last_rid = rid; last = none; last_x = 0; last_y = 0;
                    http[r]!k, rid, op, a, b, v
                fi
            fi
        fi;
        t = none; k = 0; p = 0; rid = 0; op = none; a = 0; b = 0; v = 0 }

    :: atomic { answers[r]?k, rid, op, a, b ->
        if
        :: k == confirmed && rid == last_rid -> last = op; last_x = a; last_y = b; say(k, rid, op, a, b)
        :: else                                                  /* closed: what still ran is for nobody */
        fi;
        k = 0; rid = 0; op = none; a = 0; b = 0 }

    :: atomic { pending_hello + confirmed > 0 && rare;     /* crash and restart, under a new name: app.py, new_replica */
        pending_hello = 0; pending_key = 0; proven = false; confirmed = 0; was_confirmed = 0; highest = 0; piv = 0;
        last_rid = 0; last = none; last_x = 0; last_y = 0;
        do
        :: up[r]?t, k, p, rid, op, a, b, v
        :: empty(up[r]) -> break
        od;
        t = none; k = 0; p = 0; rid = 0; op = none; a = 0; b = 0; v = 0 }
    od
}

/* --- The broker: in order on each topic while it is honest. ------------------------------------------------------------------ */
#define HOLD(channel, number) \
    :: atomic { nempty(channel) && luck > 0 && at == 0 -> luck--; channel?t, k, p, rid, op, a, b, v; at = number } \
    :: atomic { nempty(channel) && luck > 0 && at == 0 -> luck--; channel?<t, k, p, rid, op, a, b, v>; at = number } \
    :: atomic { nempty(channel) && luck > 0 && at != 0 -> luck--; channel?_, _, _, _, _, _, _, _ } \
    :: atomic { at == number && nfull(channel) -> channel!t, k, p, rid, op, a, b, v; \
                at = 0; t = none; k = 0; p = 0; rid = 0; op = none; a = 0; b = 0; v = 0 }

proctype Broker() {
    mtype t = none, op = none;
    byte at, k, p, rid, a, b, v;
end:
    do
    HOLD(hello, 1)
    HOLD(up[0], 2)
    HOLD(up[1], 3)
    HOLD(down, 4)
    od
}

/* --- The device -------------------------------------------------------------------------------------------------------------- */
inline cut() {                                                   /* the power, here: what was stored is old, or new after store() */
    if
    :: true
    :: misfortune; goto boot
    fi
}
inline in_time() {                                               /* a wait that outlasts what is on its way, but for misfortune */
    if
    :: quiet
    :: !quiet && misfortune
    fi
}
inline store() {
    kept_verifier = verifier; kept_auth_session = auth_session; kept_family = family; kept_generation = generation
}
inline flush() {
    do
    :: down?_, _, _, _, _, _, _, _
    :: empty(down) -> break
    od
}
inline send() {
    assert(piv >= next_up[key]);
    next_up[key] = piv + 1;
    if
    :: op == challenge_ && b != 0 -> assert(pin_key == key)
    :: else
    fi;
    up[replica]!sealed, key, piv, rid, op, a, b, v;
    piv++
}
inline ask(op_, a_, b_, v_) {
    rids++; assert(rids < BOUND);
    rid = rids; op = op_; a = a_; b = b_; v = v_; twice = false;
    send()
}
inline settle_request() { rid = 0; op = none; a = 0; b = 0; v = 0; twice = false }
inline drop_session() { settle_request(); key = 0; replica = 0; piv = 0 }
inline greet() {
#ifdef BREAK_PIN_CROSSES
    crossing = (op == challenge_ -> b : 0);
#endif
    drop_session(); hellos++; hello!step_1, hellos, 0, 0, none, 0, 0, 0
}
inline challenge() {
    if
    :: verifier == 0 -> auth_session = 0
    :: else
    fi;
    if
    :: auth_session == 0 && verifier == 0 -> verifiers++; verifier = verifiers
    :: else
    fi;
#ifdef BREAK_PIN_CROSSES
    ask(challenge_, auth_session, crossing, verifier); crossing = 0
#else
    ask(challenge_, auth_session, 0, verifier)
#endif
}
inline challenge_anew() { verifier = 0; challenge() }

proctype Device() {
    byte key, proving, replica, piv, rid, rids, a, b, v, hellos, verifiers, refreshes = REFRESHES;
    mtype op = none;
    bool twice, typing, due;
#ifdef BREAK_PIN_CROSSES
    byte crossing;
#endif
    mtype t = none, got = none;
    byte k, p, rr, x, y, w;

boot:
    atomic {
        typing = false; due = false; access_token = false; t = none; got = none; k = 0; p = 0; rr = 0; x = 0; y = 0; w = 0; proving = 0;
        verifier = kept_verifier; auth_session = kept_auth_session; family = kept_family; generation = kept_generation;
        flush();
#ifdef BREAK_PIV_RESET
        if
        :: key != 0 -> w = key; k = replica; drop_session(); key = w; replica = k; w = 0; k = 0; st = DISCOVERING; ask(discover_, 0, 0, 0)
        :: else -> drop_session(); row(OFFLINE, Started, connect, same)
        fi
#else
        drop_session();
        st = OFFLINE;
        row(OFFLINE, Started, connect, same)
#endif
    }
end:
    do
    :: atomic { st == OFFLINE && (quiet || luck > 0) -> in_time(); row(OFFLINE, LinkUp, greet, GREETING); greet() }
    :: atomic { st != OFFLINE && misfortune; row(ANY, LinkDown, reconnect, OFFLINE); typing = false; drop_session(); flush() }
    :: atomic { st != OFFLINE && misfortune; goto boot }

    :: atomic { down?t, k, p, rr, got, x, y, w ->
        if
        :: st == GREETING && t == step_2 && rr == hellos ->
            row(GREETING, message_2, prove, PROVING); replica = p; proving = k; up[replica]!step_3, k, 0, 0, none, 0, 0, 0
        :: st == PROVING && t == step_4 && k == proving ->
            key = proving; proving = 0; row(PROVING, message_4, discover, DISCOVERING); ask(discover_, 0, 0, 0)
        :: (st == GREETING || st == PROVING) && t == refusal -> row(SHAKING, refused, rest, RESTING); drop_session()
        :: key != 0 && rid != 0 && t == refusal -> row(ASKING, dead, greet, GREETING); greet()
        :: key != 0 && rid != 0 && t == sealed && k == key && rr == rid ->
            if
            :: got == use_dpop_nonce && op != discover_ -> row(SIGNED, use_dpop_nonce, sign_again, same); ask(op, a, b, v)
            :: else ->
                if
                :: op == challenge_ && x != 0 -> heard = rid
                :: else
                fi;
                settle_request();
                if
                :: x != 0 && got != tokens && got != offer -> auth_session = x; cut(); store(); cut()
                :: else
                fi;
                if
                :: st == DISCOVERING && got == offer ->
                    if
                    :: access_token -> row(DISCOVERING, usable, settle, READY)
                    :: !access_token && family != 0 -> row(KEEPING, renew, refresh, REFRESHING); ask(refresh_, family, generation, 0)
                    :: !access_token && family == 0 -> row(KEEPING, pair, challenge, CHALLENGING); challenge()
                    fi
                :: (st == CHALLENGING || st == ANSWERING) && got == prompt -> row(PAIRING, prompt, ask_human, WAITING); typing = false
                :: (st == CHALLENGING || st == ANSWERING) && got == code ->
                    row(PAIRING, code, redeem, REDEEMING); ask(redeem_, y, 0, verifier)
                :: st == ANSWERING && got == wrong_answer -> row(ANSWERING, wrong_answer, say_refusal, WAITING)
                :: (st == CHALLENGING || st == ANSWERING) && got == invalid_session ->
#ifdef COUNT_PINS
                    assert(MISFORTUNES - luck > 1);              /* one misfortune alone costs no PIN */
#endif
                    row(PAIRING, invalid_session, challenge_anew, CHALLENGING); challenge_anew()
                :: (st == CHALLENGING || st == ANSWERING) && got == locked -> row(PAIRING, locked, rest, LOCKED)
                :: (st == REDEEMING || st == REFRESHING) && got == tokens ->
                    verifier = 0; family = x; generation = y; access_token = true; due = false;
                    cut(); store(); cut();
                    row(TAKING, tokens, keep, READY)
                :: st == REDEEMING && got == invalid_grant -> row(REDEEMING, invalid_grant, rest, RESTING)
                :: st == REFRESHING && got == invalid_grant ->
                    family = 0; generation = 0; access_token = false; due = false;
                    row(REFRESHING, invalid_grant, lose, same);
                    row(KEEPING, pair, challenge, CHALLENGING); challenge_anew()
                :: got == try_later -> row(ASKING, try_later, rest, RESTING)
                :: got == invalid -> row(ASKING, fatal, stop, STOPPED)
                fi
            fi
        :: else                                                  /* dropped and counted */
        fi;
        t = none; got = none; k = 0; p = 0; rr = 0; x = 0; y = 0; w = 0 }

    /* 5 s without a reply. While something is still on its way that is a misfortune; when nothing is, it must come. */
    :: atomic { (st == GREETING || st == PROVING) && (quiet || luck > 0) ->
        in_time();
        row(SHAKING, silence, rest, RESTING); drop_session() }
    :: atomic { rid != 0 && (quiet || luck > 0) ->
        in_time();
        if
        :: !twice -> twice = true; row(ASKING, silence, ask_again, same); send()
        :: twice -> row(ASKING, dead, greet, GREETING); greet()
        fi }

    /* Waits of at least a second (RESTING, OFFLINE) and timeouts of 5 s. */
    :: atomic { st == RESTING && key != 0 && (quiet || luck > 0) -> in_time(); row(HALTED, again, discover, DISCOVERING); ask(discover_, 0, 0, 0) }
    :: atomic { (st == RESTING || st == LOCKED) && key == 0 && (quiet || luck > 0) -> in_time(); row(SETTLED, unkeyed, greet, GREETING); greet() }
    :: atomic { st == LOCKED && key != 0 && quiet ->                      /* and a person has unlocked meanwhile: admin.py */
        w = 1;
        do
        :: w <= sessions -> s_tries[w] = (s_tries[w] >= MAX_TRIES -> 0 : s_tries[w]); w++
        :: else -> break
        od;
        w = 0;
        row(HALTED, again, discover, DISCOVERING); ask(discover_, 0, 0, 0) }

    /* The human: reads the PIN of the session that waits (admin.py), types it, sometimes badly. */
    :: atomic { st == WAITING && key == 0 -> row(SETTLED, unkeyed, greet, GREETING); typing = false; greet() }
    :: atomic { st == WAITING && key != 0 && !typing ->
        w = sessions;
        do
        :: w > 0 && !(s_live[w] && !s_done[w]) -> w--
        :: else -> break
        od;
        if
        :: w > 0 -> s_pin[w] = true; typing = true; row(WAITING, typed, show_entry, same)
        :: w == 0 -> row(WAITING, lapsed, challenge, CHALLENGING); challenge()
        fi;
        w = 0 }
    :: atomic { st == WAITING && key != 0 && !typing && rare; row(WAITING, lapsed, challenge, CHALLENGING); challenge() }
    :: atomic { st == WAITING && typing && rare; row(WAITING, short, say_entry, same) }
    :: atomic { st == WAITING && typing && rare; row(WAITING, typo, say_entry, same); typing = false }
    :: atomic { st == WAITING && typing && rare; row(WAITING, idle, ask_human, same); typing = false }
    :: atomic { st == WAITING && typing ->
        w = sessions;
        do
        :: w > 0 && !(s_live[w] && !s_done[w]) -> w--
        :: else -> break
        od;
        if
        :: true
        :: rare; w = WRONG_PIN
        fi;
        if
        :: w == 0 -> w = WRONG_PIN
        :: else
        fi;
        entries++; pin_key = key; typing = false;
        row(WAITING, answered, answer, ANSWERING); ask(challenge_, auth_session, w, verifier);
        w = 0 }

    :: atomic { st == READY && !f_live[family] && key != 0 ->     /* the MCP server asks the AS, or the token runs out */
        row(READY, call, call, CALLING); access_token = false; row(KEEPING, renew, refresh, REFRESHING);
        ask(refresh_, family, generation, 0) }
    :: atomic { st == READY && !f_live[family] && key == 0 -> row(SETTLED, unkeyed, greet, GREETING); greet() }
    /* renew_at_ms stays in the past until new tokens come: what was begun is begun again. */
    :: atomic { st == READY && !due && refreshes > 0 -> refreshes--; due = true }
    :: atomic { st == READY && due && key != 0 -> row(KEEPING, renew, refresh, REFRESHING); ask(refresh_, family, generation, 0) }
    :: atomic { st == READY && due && key == 0 -> row(SETTLED, unkeyed, greet, GREETING); greet() }
    od
}

init {
    atomic {
        run Server(); run Replica(0); run Replica(1); run Device();
#ifndef FEW
        run Broker()
#endif
    }
}

ltl heals { <>[] paired }
