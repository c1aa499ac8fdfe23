package config

import (
	"slices"
	"strings"
)

// liteLLMProviders are names that LiteLLM, and CrewAI with it, know as providers:
// a client of theirs that is told `<name>/<model>` does not send the name.
var liteLLMProviders = []string{
	"ai21", "aiml", "anthropic", "anyscale", "azure", "azure_ai", "azure_text", "baseten", "bedrock", "cerebras",
	"clarifai", "cloudflare", "codestral", "cohere", "cohere_chat", "custom_openai", "dashscope", "databricks",
	"datarobot", "deepinfra", "deepseek", "empower", "fireworks_ai", "friendliai", "galadriel", "gemini", "gigachat",
	"github", "github_copilot", "groq", "hosted_vllm", "huggingface", "hyperbolic", "infinity", "jina_ai", "lambda_ai",
	"litellm_proxy", "llamafile", "lm_studio", "maritalk", "meta_llama", "mistral", "moonshot", "nebius", "nlp_cloud",
	"novita", "nscale", "nvidia_nim", "ollama", "ollama_chat", "oobabooga", "openai", "openai_like", "openrouter", "palm",
	"perplexity", "petals", "predibase", "replicate", "sagemaker", "sagemaker_chat", "sambanova", "snowflake",
	"text-completion-openai", "together_ai", "topaz", "triton", "vercel_ai_gateway", "vertex_ai", "vertex_ai_beta",
	"vllm", "volcengine", "voyage", "watsonx", "watsonx_text", "xai", "xinference",
}

// liteLLMHint says what clients of LiteLLM have to write if it knows a provider of
// this name itself. It is empty for all other names.
func liteLLMHint(name string) string {
	if !slices.Contains(liteLLMProviders, strings.ToLower(name)) {
		return ""
	}
	return "LiteLLM and CrewAI take this name for themselves: their clients must write openai/" + name + "/MODEL"
}
