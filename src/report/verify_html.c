/* SPDX-License-Identifier: Apache-2.0
 *
 * verify's results as a page. Everything that comes from a model's files goes through qn_put_text()
 * or, in scripts, through JSON with its angle brackets escaped.
 */
#include <math.h>
#include <stdlib.h>

#include "report/markup.h"
#include "report/verify.h"

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>quern verify</title>\n"
    "<style>\n"
    ":root{color-scheme:light dark;--line:#8884;--soft:#8882}\n"
    "body{font:15px/1.45 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}\n"
    "h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.5rem;border-top:1px solid var(--line);"
    "padding-top:1rem}h3{font-size:1rem;margin:1.4rem 0 .4rem}\n"
    "table{border-collapse:collapse}td,th{padding:.2rem .6rem;text-align:left;vertical-align:top;"
    "border-bottom:1px solid var(--line)}td.n{text-align:right;font-variant-numeric:tabular-nums}\n"
    ".pass{color:#18864b}.note{color:#a66a00}.fail{color:#c8102e;font-weight:600}.skip{opacity:.6}"
    "\n"
    "q{quotes:none;white-space:pre-wrap;font-family:ui-monospace,monospace;background:var(--soft);"
    "padding:0 .2em}\n"
    ".maps{display:flex;flex-wrap:wrap;gap:1.2rem}figure{margin:0;width:300px}\n"
    "canvas{width:300px;height:300px;image-rendering:pixelated;border:1px solid var(--line)}\n"
    "figcaption{font-size:.85rem;min-height:3.2em}\n"
    ".grid td{padding:0;width:1.4rem;height:1.2rem;border:1px solid var(--line)}"
    ".grid th{font-weight:400;font-size:.8rem;padding:0 .4rem}\n"
    "</style>\n<h1>quern verify</h1>\n";

/* Draws a map's bytes, 255 sqrt(weight), from white over blue to black, and says under the pointer
 * what it stands on. */
static const char script[] =
    "<script>\n"
    "function ramp(t){const s=[[255,255,255],[190,214,240],[74,134,200],[24,60,130],[6,12,40]];"
    "const x=t*4,i=Math.min(3,Math.floor(x)),f=x-i;"
    "return s[i].map((a,c)=>a+(s[i+1][c]-a)*f)}\n"
    "function drawMap(id,hex,tokens){const n=tokens.length,c=document.getElementById(id),"
    "g=c.getContext('2d'),im=g.createImageData(n,n),cap=document.getElementById(id+'c'),"
    "base=cap.innerHTML;c.width=c.height=n;"
    "for(let i=0;i<n*n;i++){const m=Math.floor(i/n),p=i%n;"
    "const rgb=p>m?[228,228,228]:ramp(parseInt(hex.substr(2*i,2),16)/255);"
    "im.data.set([rgb[0],rgb[1],rgb[2],255],4*i)}g.putImageData(im,0,0);"
    "c.onmousemove=e=>{const r=c.getBoundingClientRect(),"
    "p=Math.min(n-1,Math.max(0,Math.floor((e.clientX-r.left)/r.width*n))),"
    "m=Math.min(n-1,Math.max(0,Math.floor((e.clientY-r.top)/r.height*n))),"
    "w=Math.pow(parseInt(hex.substr(2*(m*n+p),2),16)/255,2);"
    "cap.textContent=`${m} ${JSON.stringify(tokens[m])} looks at ${p} "
    "${JSON.stringify(tokens[p])}: "
    "${w.toFixed(3)}`};"
    "c.onmouseleave=()=>{cap.innerHTML=base}}\n"
    "</script>\n";

static const char *text_at(const json_t *object, const char *key) {
    const char *const text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static double number_at(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static void put_json(const json_t *value, FILE *out) {
    char *const text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT);
    qn_put_json(text ? text : "null", out);
    free(text);
}

static void put_checks(const json_t *stage, FILE *out) {
    size_t i;
    const json_t *check;
    fprintf(out, "<h3>%s: <span class=\"%s\">%s</span></h3>\n<table>\n", text_at(stage, "stage"),
            text_at(stage, "verdict"), text_at(stage, "verdict"));
    json_array_foreach(json_object_get(stage, "checks"), i, check) {
        fprintf(out, "<tr><td class=\"%s\">%s<td>%s<td>", text_at(check, "verdict"),
                text_at(check, "verdict"), text_at(check, "check"));
        qn_put_text(text_at(check, "detail"), out);
        fputc('\n', out);
    }
    fputs("</table>\n", out);
}

static void put_answers(const json_t *answers, FILE *out) {
    size_t i;
    const json_t *answer;
    if (json_array_size(answers) == 0) return;
    fputs("<table>\n<tr><th>prompt<th>answer<th>log probability<th>repeated\n", out);
    json_array_foreach(answers, i, answer) {
        fputs("<tr><td><q>", out);
        qn_put_text(text_at(answer, "prompt"), out);
        fputs("</q><td><q>", out);
        qn_put_text(text_at(answer, "text"), out);
        fprintf(out, "</q><td class=\"n\">%.2f<td class=\"n\">%.0f %%\n",
                number_at(answer, "mean_log_probability"),
                100 * number_at(answer, "repeated_share"));
    }
    fputs("</table>\n", out);
}

/* ---- attention -------------------------------------------------------------------------- */

/* A table of layers by heads, shaded by one number between 0 and 1. */
static void put_grid(const json_t *layers, const char *key, const char *title, FILE *out) {
    size_t l, h;
    const json_t *layer, *one;
    fprintf(out, "<div><h3>%s</h3>\n<table class=\"grid\">\n", title);
    json_array_foreach(layers, l, layer) {
        fprintf(out, "<tr><th>%zu", l);
        json_array_foreach(json_object_get(layer, "heads"), h, one) {
            const double value = fmin(fmax(number_at(one, key), 0), 1);
            fprintf(out, "<td style=\"background:rgba(24,90,188,%.2f)\" title=\"%zu.%zu: %.3f\">",
                    value, l, h, value);
        }
        fputc('\n', out);
    }
    fputs("</table></div>\n", out);
}

static void put_maps(const json_t *stage, size_t model, FILE *out) {
    size_t i;
    const json_t *map;
    const json_t *const drawn = json_object_get(stage, "drawn");
    if (json_array_size(drawn) == 0) return;
    fputs("<h3>Heads</h3>\n<p>Row: the token that looks, from the first at the top; column: the "
          "token it looks at. Darker is more, by the square root of the weight; grey is the "
          "future.</p>\n<div class=\"maps\">\n",
          out);
    json_array_foreach(drawn, i, map) {
        fprintf(out,
                "<figure><canvas id=\"m%zu_%zu\"></canvas><figcaption id=\"m%zu_%zuc\"><b>layer "
                "%.0f head %.0f</b>: %s</figcaption></figure>\n",
                model, i, model, i, number_at(map, "layer"), number_at(map, "head"),
                text_at(map, "why"));
    }
    fprintf(out, "</div>\n<script>{const tokens=");
    put_json(json_object_get(stage, "drawn_tokens"), out);
    fputs(";\n", out);
    json_array_foreach(drawn, i, map)
        fprintf(out, "drawMap('m%zu_%zu','%s',tokens);\n", model, i, text_at(map, "weights"));
    fputs("}</script>\n", out);
}

static void put_attention(const json_t *stage, size_t model, FILE *out) {
    const json_t *const layers = json_object_get(stage, "layers");
    if (json_array_size(layers) == 0) return;
    fputs("<p>One row a layer, one column a head; means over all positions. The numbers stand "
          "under the pointer.</p>\n<div class=\"maps\">\n",
          out);
    put_grid(layers, "relative_entropy", "Spread: entropy / ln(positions seen)", out);
    put_grid(layers, "first", "Share on the first token", out);
    put_grid(layers, "previous", "Share on the token before", out);
    put_grid(layers, "self", "Share on the token itself", out);
    fputs("</div>\n", out);
    put_maps(stage, model, out);
}

/* ---- reference -------------------------------------------------------------------------- */

static void put_tensor(const json_t *tensor, const char *module, FILE *out) {
    const double bound = number_at(tensor, "bound");
    /* NaN has no number. */
    const json_t *const error = json_object_get(tensor, "rms_error");
    const double part = json_is_number(error) && bound > 0 ? json_number_value(error) / bound : 1;
    const bool agrees = json_is_true(json_object_get(tensor, "agrees"));
    /* From a thousandth of what is allowed (pale) up to it. */
    const double shade = agrees ? fmin(fmax(1 + log10(fmax(part, 1e-9)) / 3, 0.05), 1) : 1;
    fprintf(out, "<td style=\"background:rgba(%s,%.2f)\" title=\"%s: %.2e rms, %.2e largest\">",
            agrees ? "24,134,75" : "200,16,46", shade, module, number_at(tensor, "rms_error"),
            number_at(tensor, "max_error"));
}

/* A row a layer, a column a tensor, in the order of the forward pass. */
static void put_compared(const json_t *tensors, FILE *out) {
    int layer = -1;
    size_t i;
    const json_t *tensor;
    if (json_array_size(tensors) == 0) return;
    fputs("<p>One row a layer, one cell a tensor, in the order of the forward pass; red is off by "
          "more than allowed, pale green far below.</p>\n<table class=\"grid\">\n",
          out);
    json_array_foreach(tensors, i, tensor) {
        const char *const name = text_at(tensor, "name");
        int here, size = 0;
        if (sscanf(name, "layers.%d.%n", &here, &size) != 1 || size == 0) continue;
        if (here != layer) fprintf(out, "<tr><th>%d", here);
        layer = here;
        put_tensor(tensor, name + size, out);
    }
    fputs("</table>\n", out);
}

void qn_verify_html(const json_t *report, FILE *out) {
    size_t m, s;
    const json_t *model, *stage;
    fputs(head, out);
    fputs(script, out);
    json_array_foreach(json_object_get(report, "models"), m, model) {
        fputs("<h2>", out);
        qn_put_text(text_at(model, "model"), out);
        fputs("</h2>\n<p>", out);
        qn_put_text(text_at(model, "architecture"), out);
        fprintf(out, ", %s, %.1f M parameters, %s</p>\n", text_at(model, "type"),
                number_at(model, "parameters") / 1e6, text_at(model, "isa"));
        json_array_foreach(json_object_get(model, "stages"), s, stage) {
            put_checks(stage, out);
            put_answers(json_object_get(stage, "answers"), out);
            put_attention(stage, m, out);
            put_compared(json_object_get(stage, "compared"), out);
        }
    }
    fputs("</html>\n", out);
}
