/* The one line of llama.cpp's pull request 25844, from outside: preloaded, it puts the class token
 * before the patches. libmtmd calls ggml_concat(ctx, patches, v.class_embd, 1) and gets the two in
 * the other order. */
#include <dlfcn.h>
#include <string.h>

struct ggml_context;
struct ggml_tensor;

typedef struct ggml_tensor * (*concat_t)(struct ggml_context *, struct ggml_tensor *, struct ggml_tensor *, int);
typedef const char * (*name_t)(const struct ggml_tensor *);

struct ggml_tensor * ggml_concat(struct ggml_context * ctx, struct ggml_tensor * a, struct ggml_tensor * b, int dim) {
    void * base = dlopen("libggml-base.so.0", RTLD_NOLOAD | RTLD_LAZY);
    concat_t concat = (concat_t) dlsym(base, "ggml_concat");
    name_t name = (name_t) dlsym(base, "ggml_get_name");
    if (strcmp(name(b), "v.class_embd") == 0) {
        return concat(ctx, b, a, dim);
    }
    return concat(ctx, a, b, dim);
}
