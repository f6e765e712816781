#include "channel.h"

#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "lib/loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    UNDER_WAY_BYTES = 64 * 1024, /* fits the socket's buffer, so that writing does not wait */
    READ_STEP = 64 * 1024,
    KEEP_BUFFER = 256 * 1024,
};

struct pending {
    struct pending *next;
    channel_done *done;
    void *ctx;
    uint32_t id;
    size_t n;
    char *frame; /* until it is written */
};

struct channel {
    struct loop *loop;
    int fd;
    struct watch *watch;
    struct timer *again; /* input was taken while writing: to be looked at soon */
    void (*on_lost)(void *ctx);
    void *ctx;
    struct buf message, in;
    struct pending *head, **tail; /* all that is not answered, oldest first */
    struct pending *unsent;       /* the first that is not written yet */
    size_t under_way;
    uint32_t next_id;
    bool lost, handling;
};

static void lose(struct channel *ch)
{
    if (!ch->lost) {
        ch->lost = true;
        watch_stop(ch->watch);
        ch->watch = NULL;
        ch->on_lost(ch->ctx);
    }
}

/* Takes what has come without waiting; true when something has. */
static bool take_input(struct channel *ch)
{
    char *room = buf_reserve(&ch->in, READ_STEP);
    ssize_t n = room != NULL ? recv(ch->fd, room, READ_STEP, MSG_DONTWAIT) : -1;
    if (n > 0) {
        buf_commit(&ch->in, (size_t)n);
        return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        lose(ch);
    }
    return false;
}

/* While a large message goes out, answers are taken in: the other side may be waiting for that. */
static void write_frame(struct channel *ch, struct str frame)
{
    while (frame.n > 0 && !ch->lost) {
        ssize_t n = send(ch->fd, frame.p, frame.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            frame = str_sub(frame, (size_t)n, frame.n);
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            lose(ch);
            return;
        }
        struct pollfd p = {.fd = ch->fd, .events = POLLIN | POLLOUT};
        if (poll(&p, 1, -1) > 0 && (p.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            take_input(ch);
        }
    }
}

static void write_more(struct channel *ch)
{
    while (ch->unsent != NULL && !ch->lost &&
           (ch->under_way == 0 || ch->under_way + ch->unsent->n <= UNDER_WAY_BYTES)) {
        struct pending *p = ch->unsent;
        ch->unsent = p->next;
        ch->under_way += p->n;
        write_frame(ch, str_n(p->frame, p->n));
        wipe(p->frame, p->n);
        free(p->frame);
        p->frame = NULL;
    }
}

static struct pending *pop(struct channel *ch)
{
    struct pending *p = ch->head;
    ch->head = p->next;
    if (ch->head == NULL) {
        ch->tail = &ch->head;
    }
    return p;
}

static void tell(struct pending *p, struct str message)
{
    struct wire_reader r = wire_read(message);
    unsigned code = wire_u8(&r);
    struct err e = OK;
    if (r.bad || code >= ERR_MAX) {
        e = err_make(ERR_INTERNAL, "the key process answered nonsense");
    } else if (code != ERR_OK) {
        struct str text = wire_str(&r);
        e = err_make((enum err_code)code, "%.*s", STR_FMT(text));
    }
    p->done(p->ctx, e, &r);
    free(p);
}

static uint32_t be32(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* One whole frame at the front of `in`; false when it has not all come. */
static bool take_frame(struct channel *ch, size_t *at)
{
    struct str rest = str_sub(buf_str(&ch->in), *at, ch->in.n);
    if (rest.n < WIRE_HEAD) {
        return false;
    }
    uint32_t n = be32(rest.p), id = be32(rest.p + 4);
    if (n < 4 || n > WIRE_MAX || ch->head == NULL || ch->head->id != id) {
        log_error("the key process sent a frame that cannot be");
        lose(ch);
        return false;
    }
    if (rest.n < (size_t)n + 4) {
        return false;
    }
    struct pending *p = pop(ch);
    ch->under_way -= p->n;
    *at += (size_t)n + 4;
    tell(p, str_sub(rest, WIRE_HEAD, (size_t)n + 4));
    return !ch->lost;
}

static void on_again(void *ctx);

/* Input taken in passing raises no event of its own. */
static void look_again(struct channel *ch)
{
    if (ch->in.n >= WIRE_HEAD && ch->again == NULL && !ch->lost) {
        ch->again = timer_start(ch->loop, 0, 0, on_again, ch);
    }
}

static void handle_input(struct channel *ch)
{
    size_t at = 0, before = ch->in.n;
    ch->handling = true;
    while (take_frame(ch, &at)) {
    }
    ch->handling = false;
    buf_consume(&ch->in, at);
    if (ch->in.n == 0 && ch->in.cap > KEEP_BUFFER) {
        buf_release(&ch->in);
        buf_init_secret(&ch->in, WIRE_MAX + READ_STEP);
    }
    write_more(ch);
    if (at > 0 || ch->in.n > before) {
        look_again(ch);
    }
}

static void on_again(void *ctx)
{
    struct channel *ch = ctx;
    ch->again = NULL;
    handle_input(ch);
}

static void on_readable(void *ctx)
{
    struct channel *ch = ctx;
    while (take_input(ch)) {
    }
    handle_input(ch);
}

struct err channel_new(struct loop *loop, int fd, void (*on_lost)(void *ctx), void *ctx,
                       struct channel **out)
{
    struct channel *ch = calloc(1, sizeof(*ch));
    BUG_ON(ch == NULL);
    *ch = (struct channel){.loop = loop, .fd = fd, .on_lost = on_lost, .ctx = ctx};
    ch->tail = &ch->head;
    buf_init_secret(&ch->message, WIRE_MAX);
    buf_init_secret(&ch->in, WIRE_MAX + READ_STEP);
    struct err e = watch_fd(loop, fd, on_readable, ch, &ch->watch);
    if (failed(e)) {
        channel_free(ch);
        return e;
    }
    *out = ch;
    return OK;
}

void channel_free(struct channel *ch)
{
    if (ch == NULL) {
        return;
    }
    watch_stop(ch->watch);
    timer_stop(ch->again);
    while (ch->head != NULL) {
        struct pending *p = pop(ch);
        struct wire_reader none = wire_read(STR_EMPTY);
        p->done(p->ctx, err_make(ERR_CLOSED, "crypto is stopping"), &none);
        free(p->frame);
        free(p);
    }
    close(ch->fd);
    buf_release(&ch->message);
    buf_release(&ch->in);
    free(ch);
}

struct buf *channel_begin(struct channel *ch, enum wire_op op, struct str caller, struct str name)
{
    struct buf *m = &ch->message;
    buf_clear(m);
    wire_put_u32(m, 0);
    wire_put_u32(m, ++ch->next_id);
    wire_put_u8(m, op);
    wire_put_str(m, caller);
    wire_put_str(m, name);
    return m;
}

struct err channel_send(struct channel *ch, channel_done *done, void *ctx)
{
    struct buf *m = &ch->message;
    TRY(buf_check(m));
    ENSURE(!ch->lost, ERR_UNAVAILABLE, "the key process is gone");
    uint32_t n = (uint32_t)(m->n - 4);
    for (int i = 0; i < 4; i++) {
        m->p[i] = (char)(n >> (24 - 8 * i));
    }
    struct pending *p = calloc(1, sizeof(*p));
    char *frame = malloc(m->n);
    BUG_ON(p == NULL || frame == NULL);
    memcpy(frame, m->p, m->n);
    *p = (struct pending){.done = done, .ctx = ctx, .id = ch->next_id, .n = m->n, .frame = frame};
    *ch->tail = p;
    ch->tail = &p->next;
    if (ch->unsent == NULL) {
        ch->unsent = p;
    }
    if (!ch->handling) {
        write_more(ch);
        look_again(ch);
    }
    if (m->cap > KEEP_BUFFER) {
        buf_release(m);
        buf_init_secret(m, WIRE_MAX);
    }
    return OK;
}
